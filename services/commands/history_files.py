"""The CSV files of a history: their columns, their rows, and every mistake in them with its row.

Whatever a store would not take is found here, so that nothing is written of a file with a mistake.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from services.commands import incidents
from services.commands.incidents import Report
from services.errors import BadInput, HeadgateError
from services.rules.domain import Cause, DeploymentKind, DeploymentState

DEPLOYMENT_COLUMNS = ("id", "application", "stage", "bundle", "finished_at")
DEPLOYMENT_EXTRAS = ("requested_at", "started_at", "state", "kind", "planned", "fixes", "commits")
INCIDENT_COLUMNS = ("id", "application", "title", "impact_started_at", "detected_at")
INCIDENT_EXTRAS = ("severity", "resolved_at", "caused_by")
LONGEST_NAME = 200
SHOWN_MISTAKES = 20

Row = dict[str, str]
Parsed = TypeVar("Parsed")


class FileRefused(BadInput):
    """A file with mistakes: `mistakes` holds a sentence each, beginning with its row."""

    def __init__(self, path: Path, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        shown = "\n".join(f"  {mistake}" for mistake in mistakes[:SHOWN_MISTAKES])
        more = f"\n  and {len(mistakes) - SHOWN_MISTAKES} more" if len(mistakes) > SHOWN_MISTAKES else ""
        rows = f"{len(mistakes)} mistake{'' if len(mistakes) == 1 else 's'}"
        super().__init__(
            f"{path.name} has {rows}:\n{shown}{more}", "\nNothing was imported. Correct them and run it again."
        )


@dataclass(frozen=True)
class PastDeployment:
    id: str
    application: str
    stage: str
    bundle: str
    finished_at: datetime
    requested_at: datetime | None
    started_at: datetime | None
    state: DeploymentState
    kind: DeploymentKind | None
    planned: bool | None
    fixes: str
    commits: tuple[datetime, ...]


@dataclass(frozen=True)
class PastIncident:
    id: str
    report: Report
    resolved_at: datetime | None
    caused_by: str

    @property
    def application(self) -> str:
        return self.report.application


def deployments(path: Path) -> list[PastDeployment]:
    """Raises FileRefused with every mistake, and BadInput where the columns are wrong or it cannot be read."""
    return _parsed(path, DEPLOYMENT_COLUMNS, DEPLOYMENT_EXTRAS, _deployment)


def past_incidents(path: Path) -> list[PastIncident]:
    """Raises as `deployments`."""
    return _parsed(path, INCIDENT_COLUMNS, INCIDENT_EXTRAS, _incident)


def _parsed(path: Path, required: Sequence[str], extras: Sequence[str], parse: Callable[[Row], Parsed]) -> list[Parsed]:
    mistakes, found, seen = list[str](), [], dict[str, int]()
    for number, row in _rows(path, required, extras):
        try:
            if missing := [name for name in required if not row.get(name)]:
                raise BadInput(f"{', '.join(missing)} is empty.")
            if (first := seen.setdefault(row["id"], number)) != number:
                raise BadInput(f"the id {row['id']!r} stands in row {first} already.")
            _require_storable(row)
            found.append(parse(row))
        except HeadgateError as error:
            mistakes.append(f"row {number}: {error}")
    if mistakes:
        raise FileRefused(path, mistakes)
    return found


def _require_storable(row: Row) -> None:
    """What no database would take is found here, before anything is written."""
    for name in ("id", "application", "stage"):
        if len(row.get(name, "")) > LONGEST_NAME:
            raise BadInput(f"{name} is longer than {LONGEST_NAME} characters.")
    if any("\0" in cell for cell in row.values()):
        raise BadInput("it has a character that no text has (NUL).")


def _rows(path: Path, required: Sequence[str], extras: Sequence[str]) -> Iterator[tuple[int, Row]]:
    """Rows with their numbers; the first after the header is 2, as a spreadsheet counts.

    Takes a byte-order mark, and commas, semicolons or tabs.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            delimiter = max(",;\t", key=header.count)
            names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
            if missing := [name for name in required if name not in names]:
                raise BadInput(
                    f"{path.name} has no column {', '.join(missing)}.",
                    f"Its first line must name {', '.join(required)}; {', '.join(extras)} are optional.",
                )
            if unknown := [name for name in names if name not in (*required, *extras)]:
                raise BadInput(f"{path.name} has the unknown column {', '.join(unknown)}.", "Rename or remove it.")
            for number, cells in enumerate(csv.reader(file, delimiter=delimiter), start=2):
                if any(cell.strip() for cell in cells):
                    yield number, {name: cell.strip() for name, cell in zip(names, cells, strict=False)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path} cannot be read ({error}).", "Give a CSV file in UTF-8.") from error


def _deployment(row: Row) -> PastDeployment:
    finished = _time(row, "finished_at")
    assert finished is not None
    state = _choice(row, "state", DeploymentState) or DeploymentState.SUCCEEDED
    if state is DeploymentState.STARTED:
        raise BadInput("state 'started' is no end: a deployment of before succeeded, failed or was aborted.")
    if row["id"].lower() == Cause.NONE:
        raise BadInput(f"the id {row['id']!r} is the word for “no deployment”; give it another.")
    return PastDeployment(
        id=row["id"],
        application=row["application"],
        stage=row["stage"],
        bundle=row["bundle"],
        finished_at=finished,
        requested_at=_time(row, "requested_at"),
        started_at=_time(row, "started_at"),
        state=state,
        kind=_choice(row, "kind", DeploymentKind),
        planned=_yes_no(row, "planned"),
        fixes=row.get("fixes", ""),
        commits=tuple(_moment(text, "commits") for text in row.get("commits", "").split(";") if text.strip()),
    )


def _incident(row: Row) -> PastIncident:
    impact, detected, resolved = (_time(row, name) for name in ("impact_started_at", "detected_at", "resolved_at"))
    assert impact is not None
    assert detected is not None
    if resolved is not None and resolved < impact:
        raise BadInput("resolved_at is before impact_started_at.")
    report = Report(row["application"], row["title"], impact, detected, row.get("severity", "").lower())
    incidents.require_possible(report)
    return PastIncident(row["id"], report, resolved, row.get("caused_by", ""))


def _time(row: Row, name: str) -> datetime | None:
    return _moment(row[name], name) if row.get(name) else None


def _moment(text: str, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            raise BadInput(f"{name} {text!r} has no zone; add Z for UTC, or an offset such as +01:00.")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadInput(f"{name} {text!r} is not a time in ISO 8601.") from error


def _choice(row: Row, name: str, kind: type[Parsed]) -> Parsed | None:
    text = row.get(name, "").lower()
    try:
        return kind(text) if text else None  # type: ignore[call-arg]
    except ValueError as error:
        raise BadInput(f"{name} {text!r} is none of {', '.join(kind)}.") from error  # type: ignore[arg-type]


def _yes_no(row: Row, name: str) -> bool | None:
    """None: not said."""
    text = row.get(name, "").lower()
    if text in ("", "true", "yes", "1", "false", "no", "0"):
        return text in ("true", "yes", "1") if text else None
    raise BadInput(f"{name} {text!r} is neither true nor false.")
