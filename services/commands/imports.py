"""Bringing in a history: deployments and incidents of before Headgate, from CSV files.

All of a file or none of it. Run twice it adds nothing. What is imported never touches a slot.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from sqlalchemy import insert
from sqlmodel import Session, col, select

from services import clock as clocks
from services.clock import Clock
from services.commands import authority, incidents
from services.commands.incidents import Report
from services.errors import BadInput, HeadgateError
from services.rules.digests import digest
from services.rules.domain import DeploymentKind, DeploymentState, Person
from services.store import audit
from services.store.database import Store
from services.store.models import Application, Bundle, CommitRow, Deployment
from services.store.trouble import Incident

DEPLOYMENT_COLUMNS = ("id", "application", "stage", "bundle", "finished_at")
DEPLOYMENT_EXTRAS = ("requested_at", "started_at", "state", "kind", "planned", "fixes", "commits")
INCIDENT_COLUMNS = ("id", "application", "title", "impact_started_at", "detected_at")
INCIDENT_EXTRAS = ("severity", "resolved_at", "caused_by")
UNPLANNED = (DeploymentKind.ROLLBACK, DeploymentKind.HOTFIX)
BATCH = 5_000
SHOWN_MISTAKES = 20

Row = dict[str, str]
Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Imported:
    """`known` rows were there already. `applications` were created, without a policy."""

    added: int
    known: int
    applications: tuple[str, ...] = ()


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
    planned: bool
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


def deployments(store: Store, path: Path, *, actor: Person, clock: Clock, dry_run: bool = False) -> Imported:
    """Import deployments. Raises FileRefused with every mistake; then, and after a dry run, nothing is stored."""
    authority.require(actor, authority.MAKERS, "import deployments")
    rows = _parsed(path, DEPLOYMENT_COLUMNS, DEPLOYMENT_EXTRAS, _deployment)
    with store.reading() as session:
        fresh = _unknown(session, Deployment, rows)
        new = _missing_applications(session, [row.application for row in fresh])
    if dry_run or not fresh:
        return Imported(len(fresh), len(rows) - len(fresh), new)
    with store.writing() as session:
        _create_applications(session, new, clock)
        labels = _labels(session, fresh, clock)
        for start in range(0, len(fresh), BATCH):
            batch = fresh[start : start + BATCH]
            session.execute(insert(Deployment), [_deployment_values(row, labels, clock) for row in batch])
            commits = [
                {"bundle_id": labels[row.application, row.bundle], "sha": "", "at": at}
                for row in batch
                for at in row.commits
            ]
            if commits:
                session.execute(insert(CommitRow), commits)
        _record(session, actor, clock, "deployments.imported", path, len(fresh), new)
    return Imported(len(fresh), len(rows) - len(fresh), new)


def past_incidents(store: Store, path: Path, *, actor: Person, clock: Clock, dry_run: bool = False) -> Imported:
    """Import incidents. `caused_by` is the id of an imported deployment; without one the rule infers it."""
    authority.require(actor, authority.MAKERS, "import incidents")
    rows = _parsed(path, INCIDENT_COLUMNS, INCIDENT_EXTRAS, _incident)
    with store.writing() as session:
        fresh = _unknown(session, Incident, rows)
        new = _missing_applications(session, [row.application for row in fresh])
        causes, mistakes = _causes(session, fresh)
        if mistakes:
            raise FileRefused(path, mistakes)
        if dry_run or not fresh:
            return Imported(len(fresh), len(rows) - len(fresh), new)
        _create_applications(session, new, clock)
        for row in fresh:
            added = incidents.add(
                session, replace(row.report, caused_by=causes.get(row.id)), actor=actor, clock=clock, external_id=row.id
            )
            added.resolved_at = row.resolved_at
        _record(session, actor, clock, "incidents.imported", path, len(fresh), new)
    return Imported(len(fresh), len(rows) - len(fresh), new)


def _parsed(path: Path, required: Sequence[str], extras: Sequence[str], parse: Callable[[Row], Parsed]) -> list[Parsed]:
    mistakes, found, seen = list[str](), [], dict[str, int]()
    for number, row in _rows(path, required, extras):
        try:
            if missing := [name for name in required if not row.get(name)]:
                raise BadInput(f"{', '.join(missing)} is empty.")
            if (first := seen.setdefault(row["id"], number)) != number:
                raise BadInput(f"the id {row['id']!r} stands in row {first} already.")
            found.append(parse(row))
        except HeadgateError as error:
            mistakes.append(f"row {number}: {error}")
    if mistakes:
        raise FileRefused(path, mistakes)
    return found


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
    kind = _choice(row, "kind", DeploymentKind)
    return PastDeployment(
        id=row["id"],
        application=_name(row["application"]),
        stage=row["stage"],
        bundle=row["bundle"],
        finished_at=finished,
        requested_at=_time(row, "requested_at"),
        started_at=_time(row, "started_at"),
        state=_choice(row, "state", DeploymentState) or DeploymentState.SUCCEEDED,
        kind=kind,
        planned=_yes_no(row, "planned", default=kind not in UNPLANNED),
        fixes=row.get("fixes", ""),
        commits=tuple(_moment(text, "commits") for text in row.get("commits", "").split(";") if text.strip()),
    )


def _incident(row: Row) -> PastIncident:
    impact, detected, resolved = (_time(row, name) for name in ("impact_started_at", "detected_at", "resolved_at"))
    assert impact is not None
    assert detected is not None
    if resolved is not None and resolved < impact:
        raise BadInput("resolved_at is before impact_started_at.")
    report = Report(_name(row["application"]), row["title"], impact, detected, row.get("severity", "").lower())
    return PastIncident(row["id"], report, resolved, row.get("caused_by", ""))


def _name(text: str) -> str:
    if len(text) > 200:
        raise BadInput("the application's name is longer than 200 characters.")
    return text


def _time(row: Row, name: str) -> datetime | None:
    return _moment(row[name], name) if row.get(name) else None


def _moment(text: str, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise BadInput(f"{name} {text!r} is not a time in ISO 8601.") from error
    if moment.tzinfo is None:
        raise BadInput(f"{name} {text!r} has no zone; add Z for UTC, or an offset such as +01:00.")
    return moment.astimezone(UTC)


def _choice(row: Row, name: str, kind: type[Parsed]) -> Parsed | None:
    text = row.get(name, "").lower()
    try:
        return kind(text) if text else None  # type: ignore[call-arg]
    except ValueError as error:
        raise BadInput(f"{name} {text!r} is none of {', '.join(kind)}.") from error  # type: ignore[arg-type]


def _yes_no(row: Row, name: str, *, default: bool) -> bool:
    text = row.get(name, "").lower()
    if text in ("", "true", "yes", "1", "false", "no", "0"):
        return default if not text else text in ("true", "yes", "1")
    raise BadInput(f"{name} {text!r} is neither true nor false.")


def _unknown(session: Session, table: type[Deployment] | type[Incident], rows: list[Parsed]) -> list[Parsed]:
    """The rows that are not in the store yet, by application and id."""
    known = set(session.exec(select(table.application, table.external_id).where(col(table.external_id).is_not(None))))
    return [row for row in rows if (row.application, row.id) not in known]  # type: ignore[attr-defined]


def _missing_applications(session: Session, names: Sequence[str]) -> tuple[str, ...]:
    known = set(session.exec(select(Application.name)))
    return tuple(name for name in dict.fromkeys(names) if name not in known)


def _create_applications(session: Session, names: Sequence[str], clock: Clock) -> None:
    for name in names:
        session.add(Application(name=name, at=clock.now(), recorded_at=clocks.wall()))
    session.flush()


def _labels(session: Session, rows: Sequence[PastDeployment], clock: Clock) -> dict[tuple[str, str], int]:
    """A bundle for each label: the same label is the same bundle, without components and without a number."""
    wanted = dict.fromkeys((row.application, row.bundle) for row in rows)
    found = _labelled(session)
    missing = [key for key in wanted if key not in found]
    for start in range(0, len(missing), BATCH):
        session.execute(
            insert(Bundle),
            [_bundle_values(application, label, clock) for application, label in missing[start : start + BATCH]],
        )
    return _labelled(session)


def _labelled(session: Session) -> dict[tuple[str, str], int]:
    rows = session.exec(select(Bundle.id, Bundle.application, Bundle.label).where(Bundle.source == "imported"))
    return {(application, label): bundle_id for bundle_id, application, label in rows if bundle_id is not None}


def _bundle_values(application: str, label: str, clock: Clock) -> dict[str, object]:
    return {
        "application": application,
        "label": label,
        "digest": digest({"application": application, "imported": label}),
        "source": "imported",
        "gaps": [],
        "metrics": {},
        "parameters": {},
        "replayed": clock.replayed,
        "at": clock.now(),
        "recorded_at": clocks.wall(),
    }


def _deployment_values(row: PastDeployment, labels: dict[tuple[str, str], int], clock: Clock) -> dict[str, object]:
    return {
        "application": row.application,
        "stage": row.stage,
        "bundle_id": labels[row.application, row.bundle],
        "state": row.state,
        "kind": row.kind or DeploymentKind.RELEASE,
        "declared_kind": row.kind,
        "planned": row.planned,
        "fixes": row.fixes,
        "generation": 0,
        "requested_at": row.requested_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "external_id": row.id,
        "policy_revision": 0,
        "drill": False,
        "adopted": False,
        "replayed": clock.replayed,
        "recorded_at": clocks.wall(),
    }


def _causes(session: Session, rows: Sequence[PastIncident]) -> tuple[dict[str, int], list[str]]:
    """The deployment behind each explicit `caused_by`: an imported id, or the number that Headgate gave one."""
    named = [row for row in rows if row.caused_by]
    if not named:
        return {}, []
    known: dict[tuple[str, str], int] = {}
    for identity, application, external in session.exec(
        select(Deployment.id, Deployment.application, Deployment.external_id)
    ):
        if identity is not None:
            known[application, external or str(identity)] = identity
    causes, mistakes = {}, []
    for row in named:
        cause = known.get((row.report.application, row.caused_by))
        if cause is None:
            mistakes.append(f"incident {row.id}: {row.report.application} has no deployment {row.caused_by!r}")
        else:
            causes[row.id] = cause
    return causes, mistakes


def _record(
    session: Session, actor: Person, clock: Clock, action: str, path: Path, added: int, new: Sequence[str]
) -> None:
    audit.record(
        session, actor=actor.name, action=action, clock=clock, subject=path.name, rows=added, applications=list(new)
    )
