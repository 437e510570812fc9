"""Which deployment caused which incident, what remedied it, and when it was over.

An incident's cause is what a person said, which may be that no deployment was; else what the rollback or hotfix that
names it takes back; else what the rule stored or finds: the latest forward deployment of the application, if the impact
began no later than H after it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from operator import attrgetter

from services.rules.domain import Cause, DeploymentKind
from services.rules.metrics.events import Events, Id, IncidentEvent, id_order
from services.rules.metrics.kinds import Delivered
from services.rules.metrics.values import QualityKind, QualityRow


class LinkKind(StrEnum):
    EXPLICIT = "explicit"
    NAMED = "named by what remedied it"
    INFERRED = "inferred"
    UNATTRIBUTED = "unattributed"
    NO_DEPLOYMENT = "no deployment caused it"


@dataclass(frozen=True, slots=True)
class Link:
    """`deployment` is none for an unattributed incident, for one that no deployment caused, and where the stored cause
    is nothing that counts here.
    """

    incident: IncidentEvent
    kind: LinkKind
    deployment: Delivered | None


@dataclass(frozen=True, slots=True)
class Failure:
    """A forward deployment that failed. `restored_at` is none while it is open.

    `measurable` is false where an incident was resolved before it began: then nobody knows how long it took.
    """

    deployment: Delivered
    incidents: tuple[IncidentEvent, ...]
    remedies: tuple[Delivered, ...]
    first_sign: datetime
    restored_at: datetime | None
    measurable: bool


@dataclass(frozen=True)
class Linked:
    links: tuple[Link, ...]
    failures: dict[Id, Failure]  # by the failed deployment, in the order of their finish
    quality: tuple[QualityRow, ...]


def link(events: Events, incidents: Sequence[IncidentEvent], delivered: Sequence[Delivered], as_of: datetime) -> Linked:
    """Link the incidents that had begun at `as_of` and the remedies that had finished by then."""
    begun = sorted(
        (i for i in incidents if i.impact_started_at <= as_of), key=lambda i: (i.impact_started_at, id_order(i.id))
    )
    return _Linker(events, begun, delivered).linked(as_of)


class Forward:
    """The forward deployments of one application, searched by time."""

    def __init__(self) -> None:
        self.deployments: list[Delivered] = []
        self._times: list[datetime] = []

    def add(self, delivered: Delivered) -> None:
        self.deployments.append(delivered)
        self._times.append(delivered.at)

    def latest(self, at: datetime, but: Delivered | None = None) -> Delivered | None:
        """The last to finish at or before that instant."""
        position = bisect_right(self._times, at) - 1
        if position >= 0 and self.deployments[position] is but:
            position -= 1
        return self.deployments[position] if position >= 0 else None

    def cause(self, impact_started_at: datetime, attribution: timedelta) -> Delivered | None:
        """What the rule infers: the latest, unless it is older than that."""
        latest = self.latest(impact_started_at)
        return latest if latest and impact_started_at <= latest.at + attribution else None


def forward_by_application(delivered: Iterable[Delivered]) -> dict[str, Forward]:
    found: dict[str, Forward] = defaultdict(Forward)
    for one in delivered:
        if one.forward:
            found[one.event.application].add(one)
    return found


class _Names:
    """What a `fixes` can mean: a deployment or an incident, by its id or by an import's."""

    def __init__(self, delivered: Sequence[Delivered], incidents: Sequence[IncidentEvent]) -> None:
        self._deployments: dict[tuple[str, str], Delivered] = {}
        self._incidents: dict[tuple[str, str], IncidentEvent] = {}
        if not any(d.event.fixes for d in delivered):
            return
        for d in delivered:
            self._deployments.setdefault((d.event.application, d.event.external_id or str(d.id)), d)
            self._deployments.setdefault((d.event.application, str(d.id)), d)
        for incident in incidents:
            self._incidents.setdefault((incident.application, incident.external_id or str(incident.id)), incident)
            self._incidents.setdefault((incident.application, str(incident.id)), incident)

    def find(self, application: str, text: str) -> Delivered | IncidentEvent | None:
        """A deployment goes before an incident of the same name, unless the text says which is meant."""
        kind, slash, rest = text.partition("/")
        if slash and kind == "incident":
            return self._incidents.get((application, rest))
        if slash and kind == "deployment":
            return self._deployments.get((application, rest))
        return self._deployments.get((application, text)) or self._incidents.get((application, text))


class _Linker:
    def __init__(self, events: Events, incidents: Sequence[IncidentEvent], delivered: Sequence[Delivered]) -> None:
        self._events = events
        self._incidents = incidents
        self._delivered = delivered
        self._by_id = {d.id: d for d in delivered}
        self._forward = forward_by_application(delivered)
        self._names = _Names(delivered, incidents)
        self._quality: list[QualityRow] = []
        self._remedies: dict[Id, list[Delivered]] = defaultdict(list)
        self._named: dict[Id, list[Delivered]] = defaultdict(list)  # by incident: what names it

    def linked(self, as_of: datetime) -> Linked:
        for one in self._delivered:
            says = one.event.fixes or one.event.blames is not None or one.kind is DeploymentKind.ROLLBACK
            if says and one.counts:
                self._read_remedy(one)
        links = tuple(self._link(incident) for incident in self._incidents)
        by_cause: dict[Id, list[IncidentEvent]] = defaultdict(list)
        for each in links:
            if each.deployment is not None:
                by_cause[each.deployment.id].append(each.incident)
        failures = {
            one.id: _failure(one, by_cause.get(one.id, []), self._remedies.get(one.id, []), as_of)
            for one in self._delivered
            if one.forward and (one.id in by_cause or one.id in self._remedies)
        }
        return Linked(links, failures, tuple(self._quality))

    def _read_remedy(self, one: Delivered) -> None:
        """What this deployment remedies, by what it says of itself; a rollback that says nothing blames by the rule."""
        event = one.event
        fixed = self._names.find(event.application, event.fixes) if event.fixes else None
        if event.fixes and fixed is None:
            self._unknown(one, f"It fixes {event.fixes!r}, which is no deployment that served here, and no incident.")
        if isinstance(fixed, IncidentEvent):
            self._named[fixed.id].append(one)
        blamed = self._blamed(one, fixed)
        if blamed is not None:
            self._remedy(one, blamed)

    def _blamed(self, one: Delivered, fixed: Delivered | IncidentEvent | None) -> Delivered | None:
        event = one.event
        if event.blames is not None:
            known = self._by_id.get(event.blames)
            if known is None:
                self._unknown(one, f"It blames deployment {event.blames}, which never served here.")
            return known
        if isinstance(fixed, Delivered):
            return fixed
        unexplained = fixed is None and not event.fixes and not one.planned
        return one.returned_from if one.kind is DeploymentKind.ROLLBACK and unexplained else None

    def _remedy(self, one: Delivered, blamed: Delivered) -> None:
        cause = blamed.repeats or blamed
        if cause is one:
            self._unknown(one, "It blames itself.")
        elif not cause.forward:
            text = f"It blames deployment {cause.id}, a {cause.kind.value}: that is in no rate."
            self._quality.append(QualityRow(one.at, QualityKind.IN_NO_RATE, "deployment", one.id, text))
        elif not any(known is one for known in self._remedies[cause.id]):
            self._remedies[cause.id].append(one)

    def _link(self, incident: IncidentEvent) -> Link:
        remedies = self._named.get(incident.id, [])
        kind, cause = self._cause(incident, remedies)
        if cause is not None:
            cause = cause.repeats or cause
            for one in remedies:
                self._remedy(one, cause)
        if kind is LinkKind.UNATTRIBUTED:
            text = "No deployment is known to have caused it."
            row = QualityRow(incident.impact_started_at, QualityKind.UNATTRIBUTED, "incident", incident.id, text)
            self._quality.append(row)
        elif kind is not LinkKind.NO_DEPLOYMENT and (cause is None or not cause.forward):
            self._quality.append(_useless_cause(incident, cause))
        if incident.resolved_at is not None and incident.resolved_at < incident.impact_started_at:
            text = "It was resolved before it began."
            row = QualityRow(incident.impact_started_at, QualityKind.NEGATIVE, "incident", incident.id, text)
            self._quality.append(row)
        return Link(incident, kind, cause)

    def _cause(self, incident: IncidentEvent, remedies: Sequence[Delivered]) -> tuple[LinkKind, Delivered | None]:
        stored = incident.caused_by
        if incident.cause is Cause.NONE:
            return LinkKind.NO_DEPLOYMENT, None
        if incident.cause is Cause.DEPLOYMENT and stored is not None:
            return LinkKind.EXPLICIT, self._by_id.get(stored)
        for remedy in remedies:
            blamed = self._taken_back(remedy, incident)
            if blamed is not None:
                return LinkKind.NAMED, blamed
        if stored is not None:
            return LinkKind.INFERRED, self._by_id.get(stored)
        forward = self._forward.get(incident.application)
        attribution = self._events.rules_of(incident.application).attribution
        inferred = forward.cause(incident.impact_started_at, attribution) if forward else None
        return (LinkKind.INFERRED, inferred) if inferred else (LinkKind.UNATTRIBUTED, None)

    def _taken_back(self, remedy: Delivered, incident: IncidentEvent) -> Delivered | None:
        """What a remedy takes back, or where it does not say: what had been delivered when the impact began."""
        if remedy.event.blames is not None:
            return self._by_id.get(remedy.event.blames)
        if remedy.kind is DeploymentKind.ROLLBACK:
            return remedy.returned_from
        return self._forward[remedy.event.application].latest(incident.impact_started_at, but=remedy)

    def _unknown(self, one: Delivered, text: str) -> None:
        self._quality.append(QualityRow(one.at, QualityKind.UNKNOWN_REFERENCE, "deployment", one.id, text))


def _useless_cause(incident: IncidentEvent, cause: Delivered | None) -> QualityRow:
    if cause is None:
        text, kind = f"Deployment {incident.caused_by}, its cause, never served here.", QualityKind.UNKNOWN_REFERENCE
    else:
        text = f"Deployment {cause.id}, its cause, is a {cause.kind.value}: that is in no rate."
        kind = QualityKind.IN_NO_RATE
    return QualityRow(incident.impact_started_at, kind, "incident", incident.id, text)


def _failure(
    deployment: Delivered, incidents: Sequence[IncidentEvent], remedies: Sequence[Delivered], as_of: datetime
) -> Failure:
    ordered = tuple(sorted(remedies, key=attrgetter("at")))
    signs = [i.impact_started_at for i in incidents] + [r.at for r in ordered[:1]]
    resolved = [i.resolved_at for i in incidents if i.resolved_at is not None and i.resolved_at <= as_of]
    # The first remedy restores the service; a hotfix of the cause may follow days after the rollback.
    ends = resolved + [r.at for r in ordered[:1]]
    return Failure(
        deployment=deployment,
        incidents=tuple(incidents),
        remedies=ordered,
        first_sign=min(signs),
        restored_at=max(ends) if len(resolved) == len(incidents) else None,
        measurable=all(i.resolved_at is None or i.resolved_at >= i.impact_started_at for i in incidents),
    )
