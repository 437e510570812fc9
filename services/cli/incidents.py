"""`headgate incident` and `headgate deployment`: what went wrong, and the history of before Headgate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli.desk import Json, desk, hint, print_json, say, table
from services.cli.times import moment
from services.commands import imports, incidents
from services.commands.imports import Imported
from services.commands.incidents import Report
from services.errors import BadInput
from services.queries import incidents as reading
from services.queries.common import iso
from services.queries.incidents import IncidentLine
from services.rules.domain import Blame, Cause

app = typer.Typer(help="Incidents: something went wrong in production.", no_args_is_help=True)
deployment = typer.Typer(help="Deployments of before Headgate.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check the file, store nothing.")]
Number = Annotated[int, typer.Argument(metavar="INCIDENT", help="The incident's number")]
FEW = 10
AGAIN = "Had it been interrupted, running it again would have completed it."
Application = Annotated[str, typer.Argument(help="The application.")]


@app.command("open")
def open_(
    application: Application,
    title: Annotated[str, typer.Option("--title", help="What went wrong, in a few words.")],
    since: Annotated[str | None, typer.Option(metavar="TIME", help="When its impact began; now if left out.")] = None,
    detected: Annotated[str | None, typer.Option(metavar="TIME", help="When it was noticed; now if left out.")] = None,
    severity: Annotated[str, typer.Option(help="low, medium, high or critical.")] = "",
    caused_by: Annotated[
        str,
        typer.Option(metavar="DEPLOYMENT", help="Its number, or `none`. Left out: the rule infers it, and says so."),
    ] = Cause.UNKNOWN,
    as_json: Json = False,
) -> None:
    """Record an incident, and the deployment that caused it."""
    at = desk()
    now = at.clock.now()
    report = Report(application, title, moment(since) or now, moment(detected) or now, severity, _blame(caused_by))
    incident_id = incidents.open_(at.store, report, actor=at.actor, clock=at.clock)
    found = reading.one(at.store, incident_id)
    if as_json:
        print_json({"incident": found.as_json()})
        return
    say(f"Incident {incident_id} is open. Caused by: {_cause(found)}.")


@app.command("resolve")
def resolve(
    incident: Number,
    done: Annotated[str, typer.Option("--done", help="What was done about it.")],
    caught_by: Annotated[
        str, typer.Option("--caught-by", metavar="GATE", help="The gate that would have caught it, or `none needed`.")
    ],
    when: Annotated[str | None, typer.Option("--at", metavar="TIME", help="When it was over; now if left out.")] = None,
) -> None:
    """Close an incident."""
    at = desk()
    incidents.resolve(
        at.store, incident, actor=at.actor, clock=at.clock, done=done, caught_by=caught_by, resolved_at=moment(when)
    )
    say(f"Incident {incident} is resolved.")


@app.command("link")
def link(
    incident: Number,
    caused_by: Annotated[int | None, typer.Option("--deployment", help="The deployment that caused it.")] = None,
    none: Annotated[bool, typer.Option("--none", help="No deployment caused it.")] = False,
    unknown: Annotated[bool, typer.Option("--unknown", help="Nobody knows: the rule infers it again.")] = False,
) -> None:
    """Correct which deployment caused an incident."""
    if [caused_by is not None, none, unknown].count(True) != 1:
        raise BadInput(
            "Say one of --deployment NUMBER, --none and --unknown.", "`headgate status` and the pages show the numbers."
        )
    said: Blame = caused_by if caused_by is not None else Cause.NONE if none else Cause.UNKNOWN
    at = desk()
    incidents.link(at.store, incident, said, actor=at.actor, clock=at.clock)
    say(f"Incident {incident} is corrected. Caused by: {_cause(reading.one(at.store, incident))}.")


@app.command("list")
def listing(
    application: Annotated[str | None, typer.Argument(help="Only this application.")] = None,
    only_open: Annotated[bool, typer.Option("--open", help="Only those that are not resolved.")] = False,
    as_json: Json = False,
) -> None:
    """Incidents, the open ones first."""
    found = reading.listing(desk().store, application, only_open=only_open)
    if as_json:
        print_json({"incidents": [line.as_json() for line in found]})
        return
    rows = [
        (
            line.id,
            line.application,
            line.title,
            line.severity,
            iso(line.impact_started_at),
            "open" if line.open else "resolved",
            _cause(line),
        )
        for line in found
    ]
    if rows:
        table(("No.", "Application", "Title", "Severity", "Since", "", "Caused by"), rows)
    else:
        say("No incident is recorded. That is not the same as “nothing failed”: is a source connected?")


def _blame(text: str) -> Blame:
    """What `--caused-by` names."""
    if text.lower() == Cause.NONE:
        return Cause.NONE
    if text.lower() == Cause.UNKNOWN:
        return Cause.UNKNOWN
    if text.isdecimal():
        return int(text)
    raise BadInput(f"--caused-by {text!r} is not the number of a deployment.", "Give its number, or `none`.")


def _cause(line: IncidentLine) -> str:
    if line.cause is Cause.NONE:
        return "no deployment"
    if line.caused_by is None:
        return "not known"
    return f"deployment {line.caused_by} of {line.bundle}{' (inferred)' if line.inferred else ''}"


@app.command("import")
def import_incidents(file: File, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Bring in incidents. Columns: id, application, title, impact_started_at, detected_at, and optional ones.

    A file with mistakes is refused as a whole. Interrupted, it is completed by running it again.
    """
    at = desk()
    found = imports.past_incidents(at.store, file, actor=at.actor, clock=at.clock, dry_run=dry_run)
    _report(found, "incidents", dry_run, as_json)


@deployment.command("import")
def import_deployments(file: File, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Bring in deployments of before. Columns: id, application, stage, bundle, finished_at, and optional ones.

    A file with mistakes is refused as a whole. Interrupted, it is completed by running it again.
    """
    at = desk()
    found = imports.deployments(at.store, file, actor=at.actor, clock=at.clock, dry_run=dry_run)
    _report(found, "deployments", dry_run, as_json)


def _report(found: Imported, noun: str, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "added": found.added,
                "known": found.known,
                "applications": list(found.applications),
                "parts": found.parts,
            }
        )
        return
    would = "would be " if dry_run else ""
    say(f"{found.added} {noun} {would}imported; {found.known} were there already.")
    for name in found.applications[:FEW]:
        hint(f"The application {name} {would or 'was '}created, without a policy.")
    if others := found.applications[FEW:]:
        hint(f"{len(others)} more applications {would or 'were '}created, too; `--json` names them.")
    if found.parts > 1:
        hint(f"Written in {found.parts} parts, between which others could write. {AGAIN}")
