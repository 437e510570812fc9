"""What the Delivery page and `headgate metrics` show: one read of the events, and everything that is asked of them.

Ten statements, whatever the number of rows, and one while the record has not changed since; of one application, only
its own rows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from threading import Lock
from typing import Any

from sqlalchemy import func
from sqlalchemy import select as rows_of
from sqlmodel import Session, col

from services import clock as clocks
from services.errors import NotFound
from services.queries import delivery
from services.rules.metrics import (
    Comparison,
    DeploymentEvent,
    Events,
    GateRunEvent,
    History,
    Id,
    IncidentEvent,
    Ledger,
    LedgerPart,
    QualityRow,
    Samples,
    TrendPoint,
    Value,
    Window,
    combined,
    compare,
    last_days,
    trend,
    window,
)
from services.rules.metrics.pausing import collector_paused
from services.rules.metrics.samples import DEPLOYMENT
from services.rules.metrics.windows import zone_named
from services.store.database import Store
from services.store.models import Application, AuditEvent

DEFAULT_DAYS = 90
SPARK_WEEKS = 12
MOST_REMEMBERED = 8


@dataclass(frozen=True)
class Known:
    """An application that could be asked about."""

    name: str
    owner: str
    has_policy: bool


@dataclass(frozen=True)
class Row:
    """One thing behind a number. `value` is what it adds: hours, or 1 and 0.

    `bundle` is what it is called; it is a reference where it `has_page`.
    """

    subject: str
    id: Id
    at: datetime
    application: str
    bundle: str
    stage: str
    kind: str
    value: float
    detail: str = ""
    has_page: bool = False


@dataclass(frozen=True)
class Measured:
    """The delivery of some applications in one window. What is not looked at is not computed."""

    known: tuple[Known, ...]
    chosen: tuple[str, ...]
    within: Window
    changed_at: datetime | None  # when anything was last recorded, by the wall clock
    history: History = field(repr=False)
    labels: dict[int, str] = field(repr=False)

    @property
    def as_of(self) -> datetime:
        return self.history.as_of

    @property
    def incidents_are_reported(self) -> bool:
        return self.history.events.incidents_are_reported

    @cached_property
    def compared(self) -> dict[str, Comparison]:
        """Every metric beside the window before."""
        return compare(self.history, self.within)

    @cached_property
    def values(self) -> dict[str, Value]:
        return {name: comparison.now for name, comparison in self.compared.items()}

    @cached_property
    def _last_weeks(self) -> Window:
        until = self.within.until
        return window(until - timedelta(days=7 * SPARK_WEEKS), until, self.within.zone)

    def spark(self, name: str) -> tuple[TrendPoint, ...]:
        """The last twelve weeks of one metric, also where the window is shorter."""
        return trend(self.history, name, self._last_weeks)[-SPARK_WEEKS:]

    def trend(self, name: str) -> tuple[TrendPoint, ...]:
        return trend(self.history, name, self.within)

    @cached_property
    def ledgers(self) -> tuple[Ledger, ...]:
        return self.history.ledgers(self.within)

    @cached_property
    def parts(self) -> tuple[LedgerPart, ...]:
        """Of all releases of the window together."""
        return combined(self.ledgers)

    @cached_property
    def quality(self) -> tuple[QualityRow, ...]:
        return self.history.quality_of(self.within)

    @cached_property
    def _deployments(self) -> dict[Id, DeploymentEvent]:
        return {event.id: event for event in self.history.unique_deployments}

    @cached_property
    def _incidents(self) -> dict[Id, IncidentEvent]:
        return {event.id: event for event in self.history.events.incidents}

    @cached_property
    def _gate_runs(self) -> dict[Id, GateRunEvent]:
        return {event.id: event for event in self.history.events.gate_runs}

    def rows(self, samples: Samples) -> list[Row]:
        """The very things behind a number, in the order of their time."""
        return [self.row(s.subject, s.id, s.at, s.value, s.detail) for s in samples]

    def row(self, subject: str, identity: Id, at: datetime, value: float, detail: str = "") -> Row:
        """One thing, with what the record says of it."""
        if subject == DEPLOYMENT and (event := self._deployments.get(identity)) is not None:
            delivered = self.history.by_id.get(identity)
            kind = delivered.kind.value if delivered else event.state.value
            return self._of_bundle(subject, identity, at, value, detail, event, kind)
        if subject == "gate run" and (run := self._gate_runs.get(identity)) is not None:
            verdict = run.verdict.value if run.verdict else ""
            return self._of_bundle(subject, identity, at, value, detail, run, verdict)
        if subject == "incident" and (incident := self._incidents.get(identity)) is not None:
            kind = "open" if incident.resolved_at is None or incident.resolved_at > self.as_of else "resolved"
            return Row(subject, identity, at, incident.application, "", "", kind, value, detail)
        return Row(subject, identity, at, "", "", "", "", value, detail)

    def _of_bundle(
        self,
        subject: str,
        identity: Id,
        at: datetime,
        value: float,
        detail: str,
        event: DeploymentEvent | GateRunEvent,
        kind: str,
    ) -> Row:
        label = self.labels.get(event.bundle, "") if isinstance(event.bundle, int) else ""
        has_page = label.startswith(f"{event.application}/")
        return Row(subject, identity, at, event.application, label, event.stage, kind, value, detail, has_page=has_page)


def measured(
    store: Store,
    applications: Sequence[str] = (),
    *,
    teams: Collection[str] = (),
    within: Window | None = None,
    zone: str = "UTC",
    as_of: datetime | None = None,
    now: datetime | None = None,
) -> Measured:
    """The delivery of these applications, and of those that these teams own (neither: of all).

    Without a window, the last 90 days. Raises NotFound for an application or a team that nobody knows, and BadInput for
    an unknown zone.
    """
    moment = as_of or now or clocks.wall()
    chosen_window = within or last_days(DEFAULT_DAYS, moment, zone)
    with store.reading() as session:
        known, mark = _known(session)
        chosen = _chosen(known, applications, teams)
        events, labels = _events(session, store.url, mark, chosen if applications or teams else None)
    return Measured(known, chosen, chosen_window, mark.recorded_at, History(events, moment), labels)


def of_all_if_read(url: str, names: Sequence[str], within: Window, as_of: datetime) -> Measured | None:
    """`measured` of all applications from events that were read within the last minute, or None. No statement.

    For a page that must not wait for them: a window of months looks the same a minute later.
    """
    with _lock:
        latest = _latest.get(url)
    if latest is None or clocks.monotonic() - latest.read_at > RECENT_SECONDS:
        return None
    known = tuple(Known(name, "", True) for name in names)
    history = History(latest.events, as_of)
    return Measured(known, tuple(names), within, latest.mark.recorded_at, history, latest.labels)


@dataclass(frozen=True)
class Mark:
    """Where the record stands: the hash of its last event, which changes with everything that changes."""

    head: str | None
    recorded_at: datetime | None


def mark_columns() -> tuple[Any, Any]:
    """What another statement selects as well, to make a `Mark` of."""
    last = rows_of(func.max(col(AuditEvent.seq))).scalar_subquery()
    columns: tuple[Any, Any] = (AuditEvent.hash, AuditEvent.recorded_at)
    head, recorded = (rows_of(column).where(col(AuditEvent.seq) == last).scalar_subquery() for column in columns)
    return head, recorded


RECENT_SECONDS = 60.0


@dataclass(frozen=True)
class _Latest:
    """The events of all applications, as last read in this process."""

    mark: Mark
    events: Events
    labels: dict[int, str]
    read_at: float


_latest: dict[str, _Latest] = {}

Remembered = tuple[Events, dict[int, str]]
_remembered: OrderedDict[tuple[str, str | None, tuple[str, ...] | None], Remembered] = OrderedDict()
_lock = Lock()


def _events(session: Session, url: str, mark: Mark, applications: tuple[str, ...] | None) -> Remembered:
    """The events, read again only when the record has changed: nothing changes without an event of its own there."""
    key = (url, mark.head, applications)
    with _lock:
        found = _remembered.get(key)
    if found is None:
        with collector_paused():
            found = delivery.read(session, applications), delivery.labels(session, applications)
        with _lock:
            _remembered[key] = found
            while len(_remembered) > MOST_REMEMBERED:
                _remembered.popitem(last=False)
    if applications is None:
        with _lock:
            _latest[url] = _Latest(mark, *found, read_at=clocks.monotonic())
    return found


def forget() -> None:
    """As in a process that has just begun."""
    with _lock:
        _latest.clear()
        _remembered.clear()


def between(first: date | None, until: date | None, zone: str, as_of: datetime) -> Window:
    """The window of two days, of which either may be left out: then it ends today, or begins 90 days before its end.

    Raises BadInput for a window without days, and for an unknown zone.
    """
    zone_named(zone)
    if first is None and until is None:
        return last_days(DEFAULT_DAYS, as_of, zone)
    end = until or last_days(1, as_of, zone).until
    return window(first or end - timedelta(days=DEFAULT_DAYS), end, zone)


def _known(session: Session) -> tuple[tuple[Known, ...], Mark]:
    """The applications, and where the record stands. One statement."""
    columns: tuple[Any, ...] = (Application.name, Application.owner, Application.policy_revision, *mark_columns())
    found = session.connection().execute(rows_of(*columns).order_by(col(Application.name))).all()
    known = tuple(Known(name, owner, revision is not None) for name, owner, revision, *_ in found)
    return known, Mark(*found[0][3:]) if found else Mark(None, None)


def _chosen(known: Sequence[Known], applications: Sequence[str], teams: Collection[str]) -> tuple[str, ...]:
    names = {each.name for each in known}
    for name in applications:
        if name not in names:
            raise NotFound(f"There is no application {name!r}.", "`headgate status` lists those that there are.")
    for team in teams:
        if not any(each.owner == team for each in known):
            raise NotFound(f"No application belongs to a team {team!r}.", "The policy's `owner` names the team.")
    if not applications and not teams:
        return tuple(each.name for each in known)
    return tuple(each.name for each in known if each.name in applications or each.owner in teams)


def as_json(found: Measured) -> dict[str, object]:
    """What other programs read: the window's days, the second of which is not part of it, and every metric by name."""
    return {
        "window": [found.within.first.isoformat(), found.within.until.isoformat()],
        "as_of": found.as_of.isoformat().replace("+00:00", "Z"),
        "zone": found.within.zone,
        "metrics": {
            name: {
                "value": value.value,
                "unit": value.unit,
                "n": value.n,
                "low": value.low,
                "high": value.high,
                "ids": list(value.ids),
                "notes": list(value.notes),
            }
            for name, value in found.values.items()
        },
    }
