"""Bringing in a history: deployments and incidents of before Headgate, from CSV files.

A file with a mistake is refused before anything is written. A long one is written in parts, a transaction each, so that
other writers have their turn in between. Run twice it adds nothing: one that was interrupted is completed by running it
again. What is imported never touches a slot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from sqlalchemy import insert, tuple_
from sqlmodel import Session, col, select

from services import clock as clocks
from services.clock import Clock
from services.commands import authority, history_files, incidents
from services.commands.history_files import FileRefused, PastDeployment, PastIncident
from services.errors import HeadgateError
from services.rules.digests import digest
from services.rules.domain import Blame, Cause, DeploymentKind, Person
from services.store import audit
from services.store.database import Store
from services.store.models import Application, Bundle, CommitRow, Deployment
from services.store.trouble import Incident

PART = 5_000  # rows in one transaction: a fraction of a second
INCIDENT_WEIGHT = 10  # each asks the store for its cause
TURN_SECONDS = 0.05  # between two parts: longer than a waiting writer takes to look again

Label = tuple[str, str]  # an application, and what it calls a bundle
Parsed = TypeVar("Parsed", PastDeployment, PastIncident)


@dataclass(frozen=True)
class Imported:
    """`known` rows were there already. `applications` were created, without a policy. `parts`: in how many transactions
    it was written.
    """

    added: int
    known: int
    applications: tuple[str, ...] = ()
    parts: int = 0


def deployments(store: Store, path: Path, *, actor: Person, clock: Clock, dry_run: bool = False) -> Imported:
    """Import deployments. Raises FileRefused with every mistake; then, and after a dry run, nothing is stored.

    They are stored in parts, a transaction each. Where one of them fails, those before it stay, and the error says so;
    run again, it goes on from there.
    """
    authority.require(actor, authority.MAKERS, "import deployments")
    rows = history_files.deployments(path)
    with store.reading() as session:
        fresh = _unknown(session, Deployment, rows)
        new = _missing_applications(session, [row.application for row in fresh])
    if dry_run:
        return Imported(len(fresh), len(rows) - len(fresh), new)

    def write(session: Session, part: Sequence[PastDeployment]) -> None:
        labels = _labels(session, part, clock)
        session.execute(insert(Deployment), [_deployment_values(row, labels, clock) for row in part])
        commits = [
            {"bundle_id": labels[row.application, row.bundle], "sha": "", "at": at}
            for row in part
            for at in row.commits
        ]
        if commits:
            session.execute(insert(CommitRow), commits)

    parts = _parts(fresh, lambda row: 1 + len(row.commits))
    writing = _Writing(store, path, Deployment, "deployments.imported", actor, clock)
    return writing.carry_out(parts, write, known=len(rows) - len(fresh))


def past_incidents(store: Store, path: Path, *, actor: Person, clock: Clock, dry_run: bool = False) -> Imported:
    """Import incidents, in parts as `deployments`.

    `caused_by` is the id of an imported deployment, or `none` where no deployment caused it; left empty, the rule
    infers it.
    """
    authority.require(actor, authority.MAKERS, "import incidents")
    rows = history_files.past_incidents(path)
    with store.reading() as session:
        fresh = _unknown(session, Incident, rows)
        new = _missing_applications(session, [row.application for row in fresh])
        causes, mistakes = _causes(session, fresh)
    if mistakes:
        raise FileRefused(path, mistakes)
    if dry_run:
        return Imported(len(fresh), len(rows) - len(fresh), new)

    def write(session: Session, part: Sequence[PastIncident]) -> None:
        for row in part:
            report = replace(row.report, caused_by=causes[row.id])
            added = incidents.add(session, report, actor=actor, clock=clock, external_id=row.id)
            added.resolved_at = row.resolved_at

    writing = _Writing(store, path, Incident, "incidents.imported", actor, clock)
    return writing.carry_out(_parts(fresh, lambda _row: INCIDENT_WEIGHT), write, known=len(rows) - len(fresh))


def _parts(rows: Sequence[Parsed], weight: Callable[[Parsed], int]) -> Iterator[list[Parsed]]:
    """Slices of bounded weight, and of one row at least."""
    part: list[Parsed] = []
    filled = 0
    for row in rows:
        if part and filled + weight(row) > PART:
            yield part
            part, filled = [], 0
        part.append(row)
        filled += weight(row)
    if part:
        yield part


@dataclass(frozen=True)
class _Writing:
    """Writes a file's rows part by part, and records each part in its own transaction."""

    store: Store
    path: Path
    table: type[Deployment] | type[Incident]
    action: str
    actor: Person
    clock: Clock

    def carry_out(
        self, parts: Iterable[list[Parsed]], write: Callable[[Session, Sequence[Parsed]], None], *, known: int
    ) -> Imported:
        added = written = 0
        applications: tuple[str, ...] = ()
        for part in parts:
            if written:
                clocks.sleep(TURN_SECONDS)
            try:
                rows, new = self._one(part, write)
            except HeadgateError as error:
                if added:
                    error.message = f"{added} rows of {self.path.name} are imported, then: {error.message}"
                    error.remedy = "They stay. Run it again for the others: what is there already is skipped."
                raise
            added, known, written = added + rows, known + len(part) - rows, written + 1
            applications += new
        return Imported(added, known, applications, written)

    def _one(
        self, part: list[Parsed], write: Callable[[Session, Sequence[Parsed]], None]
    ) -> tuple[int, tuple[str, ...]]:
        """How many rows it added, and for which new applications: somebody else may import the same at this moment."""
        with self.store.writing() as session:
            fresh = _unknown(session, self.table, part)
            new = _missing_applications(session, [row.application for row in fresh])
            if fresh:
                _create_applications(session, new, self.clock)
                write(session, fresh)
                audit.record(
                    session,
                    actor=self.actor.name,
                    action=self.action,
                    clock=self.clock,
                    subject=self.path.name,
                    rows=len(fresh),
                    applications=list(new),
                )
        return len(fresh), new


def _unknown(session: Session, table: type[Deployment] | type[Incident], rows: list[Parsed]) -> list[Parsed]:
    """The rows that are not in the store yet, by application and id."""
    few = len(rows) <= PART  # a statement takes only so many ids, and for more of them reading all is faster
    asked = col(table.external_id).in_([row.id for row in rows]) if few else col(table.external_id).is_not(None)
    known = set(session.exec(select(table.application, table.external_id).where(asked)))
    return [row for row in rows if (row.application, row.id) not in known]


def _missing_applications(session: Session, names: Sequence[str]) -> tuple[str, ...]:
    known = set(session.exec(select(Application.name)))
    return tuple(name for name in dict.fromkeys(names) if name not in known)


def _create_applications(session: Session, names: Sequence[str], clock: Clock) -> None:
    for name in names:
        session.add(Application(name=name, at=clock.now(), recorded_at=clocks.wall()))
    session.flush()


def _labels(session: Session, rows: Sequence[PastDeployment], clock: Clock) -> dict[Label, int]:
    """A bundle for each label: the same label is the same bundle, without components and without a number."""
    by_digest = {_digest(label): label for label in dict.fromkeys((row.application, row.bundle) for row in rows)}
    places = [(application, key) for key, (application, _) in by_digest.items()]
    known = select(Bundle.digest, Bundle.id).where(tuple_(col(Bundle.application), col(Bundle.digest)).in_(places))
    found = {by_digest[key]: identity for key, identity in session.exec(known) if identity is not None}
    missing = [_bundle_values(label, key, clock) for key, label in by_digest.items() if label not in found]
    if missing:
        made = session.execute(insert(Bundle).returning(col(Bundle.digest), col(Bundle.id)), missing)
        found |= {by_digest[key]: identity for key, identity in made if identity is not None}
    return found


def _digest(label: Label) -> str:
    application, text = label
    return digest({"application": application, "imported": text})


def _bundle_values(label: Label, key: str, clock: Clock) -> dict[str, object]:
    return {
        "application": label[0],
        "label": label[1],
        "digest": key,
        "source": "imported",
        "gaps": [],
        "metrics": {},
        "parameters": {},
        "replayed": clock.replayed,
        "at": clock.now(),
        "recorded_at": clocks.wall(),
    }


def _deployment_values(row: PastDeployment, labels: dict[Label, int], clock: Clock) -> dict[str, object]:
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


def _causes(session: Session, rows: Sequence[PastIncident]) -> tuple[dict[str, Blame], list[str]]:
    """What is said of each one's cause: nothing, none, an imported deployment's id, or the number Headgate gave it."""
    causes = {row.id: _word(row.caused_by) for row in rows}
    named = [row for row in rows if causes[row.id] is None]
    found, mistakes = {identity: cause for identity, cause in causes.items() if cause is not None}, []
    known = _deployments_by_name(session) if named else {}
    for row in named:
        cause = known.get((row.application, row.caused_by))
        if cause is None:
            mistakes.append(f"incident {row.id}: {row.application} has no deployment {row.caused_by!r}")
        else:
            found[row.id] = cause
    return found, mistakes


def _word(caused_by: str) -> Blame | None:
    """Where it is no deployment that is named."""
    if caused_by.lower() == Cause.NONE:
        return Cause.NONE
    return None if caused_by else Cause.UNKNOWN


def _deployments_by_name(session: Session) -> dict[tuple[str, str], int]:
    names = select(Deployment.id, Deployment.application, Deployment.external_id)
    return {
        (application, external or str(identity)): identity
        for identity, application, external in session.exec(names)
        if identity is not None
    }
