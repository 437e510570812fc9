"""Commands that run things: apply, sync, reconcile, the worker, the dashboard, the demo."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from services import settings as settings_module
from services.cli import dashboard, health, waiting
from services.cli.desk import Json, desk, hint, print_json, say, table, working
from services.commands import policies
from services.errors import BadInput, HeadgateError, Refused, RegistryUnreachable
from services.start import open_store

Port = Annotated[int, typer.Option("--port", min=1, max=65535, help="Where the dashboard listens, on 127.0.0.1 only.")]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")]


def apply(
    policy: Annotated[Path, typer.Argument(metavar="POLICY", help="The policy, a TOML file.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and compare, store nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Check a policy, show what changes against what is in force, and store a new revision."""
    try:
        text = policy.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{policy} cannot be read ({error}).", "Give the path of a policy, a TOML file.") from error
    at = desk()
    found = policies.apply(
        at.store, text, actor=at.actor, clock=at.clock, directory=str(policy.resolve().parent), dry_run=dry_run
    )
    if as_json:
        print_json({"application": found.application, "revision": found.revision, "changes": list(found.changes)})
        return
    for line in found.changes:
        say(f"  {line}")
    if dry_run:
        say(f"{found.application}: {len(found.changes)} changes. Nothing was stored.")
    elif found.changes:
        say(f"{found.application}: revision {found.revision} is in force.")
    else:
        say(f"{found.application}: revision {found.revision} is in force already.")


def sync(
    application: Annotated[str | None, typer.Argument(help="Only this application.")] = None,
    history: Annotated[bool, typer.Option("--history", help="Every version, not the newest alone.")] = False,
    as_json: Json = False,
) -> None:
    """Look into MLflow for new bundles. A stage that the policy marks `auto` is entered at once."""
    from services.work import sync as syncing

    at = desk()
    with working("Reading MLflow"):
        at.tracking.ping()
        found = syncing.sync(
            at.store,
            at.tracking,
            at.settings,
            actor=at.actor,
            clock=at.clock,
            application=application,
            history=history,
        )
    for registered in (r for one in found for r in one.registered if r.promotion_id is not None):
        assert registered.promotion_id is not None
        waiting.see_through(at, registered.promotion_id)
    if as_json:
        print_json(
            {
                "applications": [
                    {
                        "name": one.application,
                        "new": [str(r.ref) for r in one.registered],
                        "note": one.note,
                        "trouble": str(one.trouble) if one.trouble else None,
                    }
                    for one in found
                ]
            }
        )
    else:
        for one in (one for one in found if one.trouble is None):
            new = ", ".join(str(r.ref) for r in one.registered)
            say(f"{one.application}: {new or 'nothing new'}{'. ' + one.note if one.note else ''}")
        if not found:
            say("No application yet. `headgate apply policy.toml` adds one.")
    troubles = [one.trouble for one in found if one.trouble]
    for trouble in troubles[1:]:
        hint(str(trouble))
    if troubles:
        raise troubles[0]


def reconcile(
    as_json: Json = False,
) -> None:
    """Finish what was left started, compare every alias with the record, and put right what is Headgate's own."""
    from services.work import reconcile as reconciling

    at = desk()
    with working("Comparing the record with MLflow"):
        at.tracking.ping()
        found = reconciling.reconcile(at.store, at.tracking, clock=at.clock)
    if as_json:
        print_json(
            {
                "slots": [
                    {
                        "slot": str(one.slot),
                        "agrees": one.agrees,
                        "finished": one.finished or None,
                        "repaired": list(one.repaired),
                        "why": one.why or None,
                        "moved": list(one.moved),
                        "trouble": one.trouble or None,
                    }
                    for one in found
                ]
            }
        )
    else:
        for one in found:
            repaired = f"put right {', '.join(one.repaired)}: {one.why}" if one.repaired else ""
            what = [one.finished, repaired, *one.moved, one.trouble]
            say(f"{one.slot}: {'; '.join(w for w in what if w) or 'agrees'}")
        if not found:
            say("Nothing is live anywhere yet.")
    if any(one.trouble for one in found):
        raise HeadgateError("Not every stage could be looked at.", "What is said above names the reason.")
    if any(one.moved for one in found):
        raise Refused(
            "An alias was moved outside Headgate.",
            "`headgate restore-alias STAGE` puts back what the record says; "
            "`headgate adopt STAGE` takes over what was done.",
        )


def worker() -> None:
    """Carry out deployments, run gates and sync, until told to stop. Any number may live, on any machine."""
    from services.work import worker as working_process

    working_process.main([])


def serve(port: Port = 8501, no_browser: NoBrowser = False) -> None:
    """Open the dashboard on what is there, with a worker beside it."""
    settings = settings_module.load()
    open_store(settings)
    dashboard.serve(settings, port, browser=not no_browser)


def demo(
    port: Port = 8501,
    no_browser: NoBrowser = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw the sample away and build it again.")] = False,
    until: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="The day on which the sample's story ends."),
    ] = None,
    build_only: Annotated[bool, typer.Option("--build-only", help="Build the sample and do not serve it.")] = False,
) -> None:
    """Build the sample project on real data, if it is not there, and open the dashboard on it."""
    settings = settings_module.load()
    if not build_only:
        dashboard.refuse_a_taken_port(port)
    dashboard.build_sample(settings, fresh=fresh, until=until.date() if until else None)
    if not build_only:
        dashboard.serve(settings, port, browser=not no_browser)


def doctor(as_json: Json = False) -> None:
    """Look at everything Headgate stands on, and say what to do about what is not well."""
    found = health.examine(settings_module.load())
    if as_json:
        print_json({"checks": [{"name": c.name, "state": c.state, "finding": c.finding} for c in found]})
    else:
        table(("", "Check", "Finding"), [(c.state, c.name, c.finding) for c in found])
    bad = [check for check in found if check.state == "bad"]
    if any(check.unreachable for check in bad):
        raise RegistryUnreachable("Something outside does not answer.", "The findings above name it.")
    if bad:
        raise HeadgateError("Not everything is well.", "The findings above say what to do.")


COMMANDS = (demo, serve, worker, apply, sync, reconcile, doctor)
