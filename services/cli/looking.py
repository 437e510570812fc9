"""Commands that look: status, resolve, the audit record, the doctor."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.desk import Json, desk, print_json, say, table
from services.errors import HeadgateError
from services.queries import resolve as resolving
from services.queries import status as statuses
from services.rules.domain import SlotRef
from services.store import audit as chain

audit = typer.Typer(help="The append-only record of who did what.", no_args_is_help=True)


def status(as_json: Json = False) -> None:
    """What serves where, and what is under way."""
    found = statuses.status(desk().store)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            application["name"],
            stage["stage"],
            stage["bundle"],
            stage["since"],
            _under_way(stage["promotion"]) if stage["promotion"] else "",
        )
        for application in found["applications"]
        for stage in application["stages"]
    ]
    if rows:
        table(("Application", "Stage", "Live", "Since", "Under way"), rows)
    else:
        say("No application yet. `headgate apply policy.toml` adds one; `headgate demo` shows a sample.")


def _under_way(promotion: dict[str, object]) -> str:
    return f"{promotion['bundle']} {str(promotion['phase']).replace('_', ' ')} (promotion {promotion['id']})"


def resolve(
    application: Annotated[str, typer.Argument(help="The application, or application@stage.")],
    stage: Annotated[str | None, typer.Option("--stage", help="Which stage.")] = None,
    as_json: Json = False,
) -> None:
    """The pinned addresses of what is live in a stage: what a server should load."""
    slot = SlotRef(application, stage) if stage else SlotRef.parse(application)
    found = resolving.resolve(desk().store, slot.application, slot.stage)
    if as_json:
        print_json(found)
        return
    say(f"{found['bundle']} is live in {slot.stage}.")
    rows = [(c["kind"], c["name"], c["version"], c["uri"]) for c in found["components"]]
    table(("Kind", "Name", "Version", "Address"), rows)


@audit.command("verify")
def verify(as_json: Json = False) -> None:
    """Walk the whole hash chain and say whether anything was changed or is missing."""
    with desk().store.reading() as session:
        found = chain.verify(session)
    if as_json:
        print_json({"events": found.events, "head": found.head, "broken_at": found.broken_at, "reason": found.reason})
    elif found.broken_at is None:
        say(f"The record is whole: {found.events} events, head {found.head}.")
    if found.broken_at is not None:
        raise HeadgateError(
            f"The record does not verify: {found.reason}.",
            f"Events before number {found.broken_at} are intact. Compare with a backup, and find out who could write.",
        )


COMMANDS = (status, resolve)
