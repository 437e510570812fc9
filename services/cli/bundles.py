"""`headgate bundle`: making, listing, showing and comparing bundles, and taking one out of circulation."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from services.cli import waiting
from services.cli.desk import Json, desk, hint, print_json, say, table, working
from services.cli.times import moment
from services.commands import bundles as commands
from services.errors import BadInput
from services.queries import bundles as reading
from services.queries.differences import Change, Difference
from services.rules.digests import short
from services.rules.domain import BundleRef, Commit

app = typer.Typer(help="The bundles: everything that travels to production together.", no_args_is_help=True)
Ref = Annotated[str, typer.Argument(metavar="BUNDLE", help="application/number, such as flight-delay/12")]
Reason = Annotated[str, typer.Option("--reason", "-m", help="Why; others will read it.")]


@app.command("add")
def add(
    application: Annotated[str, typer.Argument(help="The application, which has a policy.")],
    model: Annotated[
        str | None, typer.Option("--model", metavar="VERSION", help="The model's version in MLflow.")
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option("--prompt", metavar="NAME/VERSION", help="A prompt; may be given more than once."),
    ] = None,
    commits: Annotated[
        list[str] | None,
        typer.Option("--commit", metavar="SHA=TIME", help="A commit in it, for lead time; may be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Name a bundle's model and prompts by hand; what belongs to them is collected as `sync` does."""
    from services.work import adding

    at = desk()
    with working("Reading MLflow"):
        draft = adding.draft(at.store, at.tracking, at.settings, application, model, [_prompt(p) for p in prompt or []])
        if commits:
            draft = replace(draft, commits=tuple(_commit(text) for text in commits))
        found = commands.register(at.store, draft, actor=at.actor, clock=at.clock)
    if found.promotion_id is not None:
        waiting.see_through(at, found.promotion_id)
    if as_json:
        print_json({"bundle": str(found.ref), "created": found.created})
    else:
        say(f"{found.ref} is new." if found.created else f"The same components are {found.ref} already.")


def _commit(text: str) -> Commit:
    sha, equals, when = text.partition("=")
    at = moment(when) if equals else None
    if at is None or not sha:
        raise BadInput(f"{text!r} is not a commit.", "Write sha=time, for example 40a6f0b=2026-11-02T09:00:00Z.")
    return Commit(sha, at)


def _prompt(text: str) -> tuple[str, str]:
    name, slash, version = text.rpartition("/")
    if not slash or not version.isdigit():
        raise BadInput(f"{text!r} is not a prompt's version.", "Write name/version, for example delay-notice/2.")
    return name, version


@app.command("list")
def listing(
    application: Annotated[str | None, typer.Argument(help="Only this application.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 50,
    before: Annotated[int | None, typer.Option(help="Go on from here: the `next` of the page before.")] = None,
    as_json: Json = False,
) -> None:
    """The newest bundles."""
    found = reading.listing(desk().store, application, limit=limit, before=before)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            b["bundle"],
            b["made"],
            b["maker"],
            ", ".join(b["live"]),
            short(b["digest"]),
            "quarantined" if b["quarantined"] else "",
        )
        for b in found["bundles"]
    ]
    if rows:
        table(("Bundle", "Made", "By", "Live in", "Digest", ""), rows)
    else:
        say("No bundle yet. `headgate sync` looks into MLflow for one.")
    if found["next"]:
        hint(f"There are more: --before {found['next']}")


@app.command("show")
def show(bundle: Ref, as_json: Json = False) -> None:
    """One bundle: its components, its gaps, and how it stands before each stage."""
    found = reading.show(desk().store, BundleRef.parse(bundle))
    if as_json:
        print_json(found)
        return
    say(f"{found['bundle']}  {short(found['digest'])}")
    if found["quarantine"]:
        say(f"Quarantined by {found['quarantine']['by']}: {found['quarantine']['reason']}")
    rows = [(c["kind"], c["name"], c["version"], short(c["digest"]), c["uri"]) for c in found["components"]]
    table(("Kind", "Name", "Version", "Digest", "Address"), rows)
    for gap in found["provenance_gaps"]:
        say(f"Gap: {gap['reason']}")
    for stage in found["stages"]:
        say("")
        lines = [
            ("yes" if c["met"] else "no", c["name"], f"{c['reason']} {c['remedy']}".strip())
            for c in stage["conditions"]
        ]
        table((stage["stage"], "Condition", "How it stands"), lines)


@app.command("diff")
def diff(
    old: Annotated[str, typer.Argument(metavar="OLD")],
    new: Annotated[str, typer.Argument(metavar="NEW")],
    as_json: Json = False,
) -> None:
    """What changes from one bundle to another, what changed first."""
    found = reading.compare(desk().store, BundleRef.parse(old), BundleRef.parse(new))
    if as_json:
        print_json(_difference(found))
        return
    for part in found.components:
        say(f"{part.change.value:10} {part.kind.value} {part.name}")
        if part.change is Change.UNCHANGED:
            continue
        for detail in part.details:
            if detail.changed:
                say(f"             {detail.name}: {detail.old or '(none)'} → {detail.new or '(none)'}")
        for line in part.text:
            say(f"             {line}")
    rows = [(pair.name, pair.old, pair.new) for pair in found.metrics]
    if rows:
        table(("Logged metric", old, new), rows)


def _difference(found: Difference) -> dict[str, Any]:
    return {
        "components": [
            {
                "kind": part.kind.value,
                "name": part.name,
                "change": part.change.value,
                "details": [{"name": d.name, "old": d.old, "new": d.new} for d in part.details if d.changed],
                "text": list(part.text),
            }
            for part in found.components
        ],
        "metrics": [{"name": pair.name, "old": pair.old, "new": pair.new} for pair in found.metrics],
    }


@app.command("quarantine")
def quarantine(bundle: Ref, reason: Reason) -> None:
    """Take a bundle out of circulation: nobody may promote it."""
    at = desk()
    commands.quarantine(at.store, BundleRef.parse(bundle), actor=at.actor, clock=at.clock, reason=reason)
    say(f"{bundle} is quarantined.")


@app.command("unquarantine")
def unquarantine(bundle: Ref, reason: Reason) -> None:
    """Lift a bundle's quarantine."""
    at = desk()
    commands.unquarantine(at.store, BundleRef.parse(bundle), actor=at.actor, clock=at.clock, reason=reason)
    say(f"{bundle} is not quarantined any more.")
