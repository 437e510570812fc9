"""`headgate metrics`: the delivery metrics, the same numbers as on the Delivery page."""

from __future__ import annotations

import csv
import sys
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.desk import Json, desk, hint, print_json, say, table
from services.cli.times import moment
from services.errors import BadInput
from services.rules.spoken import of_hours, share

if TYPE_CHECKING:
    from services.queries.measures import Measured
    from services.rules.metrics import Value

COLUMNS = ("metric", "value", "unit", "n", "low", "high", "ids", "notes")


def metrics(
    applications: Annotated[
        list[str] | None, typer.Argument(metavar="APP", help="Only these applications; all if left out.")
    ] = None,
    first: Annotated[str | None, typer.Option("--from", metavar="DATE", help="The window's first day.")] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="The day after its last; tomorrow if left out.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="TIME", help="As things stood then; now if left out.")
    ] = None,
    zone: Annotated[
        str | None, typer.Option("--zone", help="Whose midnights cut the window; HEADGATE_ZONE if left out.")
    ] = None,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, a line for each metric.")] = False,
) -> None:
    """How often, how fast and how safely bundles reach production, in the last 90 days or another window."""
    from services.queries import measures  # with numpy and scipy, which `--help` need not wait for

    if as_json and as_csv:
        raise BadInput("--json and --csv exclude each other.", "Choose one of the two.")
    at = desk()
    when = moment(as_of) or at.clock.now()
    within = measures.between(_day(first), _day(until), at.settings.zone if zone is None else zone, when)
    found = measures.measured(at.store, applications or (), within=within, as_of=when)
    if as_json:
        print_json(measures.as_json(found))
    elif as_csv:
        _print_csv(found)
    else:
        _print_table(found)


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"{text!r} is not a day.", "Write it as 2026-03-02.") from error


def _print_csv(found: Measured) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    for value in found.values.values():
        ids, notes = " ".join(map(str, value.ids)), "; ".join(value.notes)
        writer.writerow((value.name, value.value, value.unit, value.n, value.low, value.high, ids, notes))


def _print_table(found: Measured) -> None:
    from services.rules.metrics import BY_NAME

    if not found.chosen:
        say("No application yet. `headgate apply policy.toml` adds one; `headgate demo` shows a sample.")
        return
    rows = [
        (BY_NAME[name].title, _number(value, value.value), _interval(value), value.n, "; ".join(value.notes))
        for name, value in found.values.items()
    ]
    table(("Metric", "Value", "95 %", "n", "Notes"), rows)
    hint(
        f"From {found.within.first} up to {found.within.until}, without that day, in {found.within.zone};"
        f" as of {found.as_of.isoformat(timespec='seconds').replace('+00:00', 'Z')}."
    )


def _interval(value: Value) -> str:
    if value.low is None or value.high is None:
        return ""
    return f"{_number(value, value.low)} to {_number(value, value.high)}"


def _number(value: Value, number: float | None) -> str:
    if number is None:
        return ""
    if value.unit == "share":
        return share(number)
    if value.unit == "hours":
        return of_hours(number)
    return f"{number:,.4g} {value.unit}" if value.unit == "a day" else f"{number:,.4g}"


COMMANDS = (metrics,)
