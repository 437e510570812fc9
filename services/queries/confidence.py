"""Five questions about delivery, answered from the record. Eleven statements, whatever the number of rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlmodel import Session

from services.errors import NotFound
from services.queries import confidence_rows as rows
from services.queries import delivery
from services.rules.confidence import (
    Caught,
    Columns,
    Holding,
    LeadTime,
    Month,
    Named,
    Practised,
    Recorded,
    Reproducible,
    Target,
    Tests,
    Timed,
    WayBack,
    fresh,
)
from services.rules.domain import Verdict
from services.rules.metrics import (
    ApplicationRules,
    Delivered,
    Events,
    GateRunEvent,
    History,
    Id,
    Window,
    combined,
    last_days,
    measure,
    window,
)
from services.rules.metrics.samples import Samples
from services.rules.policy import Policy
from services.rules.preflight import Answer
from services.store.database import Store

DAYS = 180  # the window of METRICS for rework, and so of all five
MONTHS = 6
ROWS_SHOWN = 12
DATA_GATES = ("schema", "drift")
PASSED = "passed"
ASKED = (
    "lead_time_training",
    "rollback_time",
    "rollbacks_failed",
    "change_fail_rate",
    "deployment_rework_rate",
    "recovery_open",
    "gate_catch_rate",
    "failed_deployments",
)


@dataclass(frozen=True)
class Confidence:
    applications: tuple[str, ...]
    application: str
    window: Window
    as_of: datetime
    lead_time: LeadTime
    tests: Tests
    way_back: WayBack
    reproducible: Reproducible
    holding: Holding


def confidence(store: Store, application: str, zone: str, now: datetime) -> Confidence:
    """The answers for one application, or with an empty name for all. Raises NotFound, and BadInput for the zone."""
    within = last_days(DAYS, now, zone)
    with store.reading() as session:
        policies = rows.policies(session)
        if application and application not in policies:
            raise NotFound(f"There is no application {application[:60]!r}.", "Choose one on the Overview.")
        scope = [application] if application else None
        events = delivery.read(session, scope, commits=False, rules=_rules(policies))
        read = _Reading(session, events, policies, scope, within, now)
        return Confidence(
            applications=tuple(policies),
            application=application,
            window=within,
            as_of=now,
            lead_time=read.lead_time(),
            tests=read.tests(),
            way_back=read.way_back(),
            reproducible=read.reproducible(),
            holding=read.holding(),
        )


def _rules(policies: Mapping[str, Policy | None]) -> dict[str, ApplicationRules]:
    return {
        name: ApplicationRules(policy.metrics.stage, policy.metrics.attribution)
        for name, policy in policies.items()
        if policy
    }


class _Reading:
    """One reading of the events. The few rows that the answers name are looked up together, once they are known."""

    def __init__(
        self,
        session: Session,
        events: Events,
        policies: Mapping[str, Policy | None],
        scope: Collection[str] | None,
        within: Window,
        now: datetime,
    ) -> None:
        self.now, self.within, self.events = now, within, events
        self.history = History(events, now)
        self.values = measure(self.history, within, ASKED)
        self.months = list(_months(within.zone, now))
        self.kinds = {
            (name, gate): rule.kind
            for name, policy in policies.items()
            if policy
            for gate, rule in policy.gates.items()
            if rule.kind in DATA_GATES
        }
        self.arrivals = [d for d in self.history.first_arrivals if within.contains(d.at)]
        self.live = self._live()
        self.served = [(month, self._serving(month.end)) for month in self.months]
        self._data_runs = self._runs_by_bundle()
        self._practised = rows.drills(session, scope)
        self._preflights = rows.preflights(session, scope)
        self._runs = rows.runs(session, self._wanted_runs())
        self._bundles = rows.bundles(session, self._wanted_bundles())

    # -- what to look up -----------------------------------------------------------------------------------------

    def _live(self) -> list[Delivered]:
        """What is live where it counts: the last that Headgate itself brought there."""
        last = {d.event.application: d for d in self.history.delivered if not d.event.external_id}
        return [last[name] for name in sorted(last)]

    def _serving(self, moment: datetime) -> list[Delivered]:
        turns, second = self.history.turns, min(moment, self.now).timestamp()
        return [
            one
            for one, begins, ends in zip(turns.delivered, turns.begins, turns.ends, strict=True)
            if begins <= second <= ends
        ]

    def _runs_by_bundle(self) -> dict[Id, list[tuple[str, GateRunEvent]]]:
        """The finished runs of schema and drift gates, each with its kind, in the order of their results."""
        found: dict[Id, list[tuple[str, GateRunEvent]]] = {}
        for run in sorted(self.events.gate_runs, key=lambda run: (run.finished_at or self.now, run.id)):
            kind = self.kinds.get((run.application, run.gate))
            if kind and run.finished_at and run.finished_at <= self.now:
                found.setdefault(run.bundle, []).append((kind, run))
        return found

    def _wanted_runs(self) -> list[Id]:
        covering = [run.id for d in self.live for run in self._schema_run(d.event.bundle)]
        return [*covering, *([self._last_caught.id] if self._last_caught else [])]

    def _schema_run(self, bundle: Id) -> list[GateRunEvent]:
        return [run for kind, run in self._data_runs.get(bundle, ()) if kind == DATA_GATES[0]][-1:]

    @property
    def _last_caught(self) -> GateRunEvent | None:
        finished = (run for runs in self._data_runs.values() for _, run in runs)
        failed = [run for run in finished if run.verdict is Verdict.FAILED and run.enforcing]
        return max(failed, key=lambda run: (run.finished_at or self.now, run.id), default=None)

    def _wanted_bundles(self) -> set[Id]:
        shown = (*self._newest("lead_time_training"), *self._newest("rollback_time"))
        deliveries = [*self.live, *(one for _, served in self.served for one in served)]
        return {
            *(self.history.by_id[sample.id].event.bundle for sample in shown),
            *(one.event.bundle for one in deliveries),
            *(preflight.bundle_id for preflight in self._preflights),
            *([self._last_caught.bundle] if self._last_caught else []),
        }

    def _newest(self, name: str) -> Samples:
        return self.values[name].samples[-ROWS_SHOWN:]

    # -- the answers ---------------------------------------------------------------------------------------------

    def lead_time(self) -> LeadTime:
        median = self.values["lead_time_training"]
        counted = set(median.ids)
        parts = combined(one for one in self.history.ledgers(self.within) if one.deployment in counted)
        largest = max(parts, key=lambda part: part.duration, default=None)
        total = sum((part.duration for part in parts), timedelta(0))
        return LeadTime(
            median=median,
            largest=largest if total else None,
            share=largest.duration / total if largest and total else None,
            rows=self._timed("lead_time_training"),
            trend=self._trend("lead_time_training"),
        )

    def tests(self) -> Tests:
        judged = [d for d in self.arrivals if not d.event.external_id]
        passed = {d.id: self._passed(d) for d in judged}
        tested = [d for d in judged if passed[d.id] == set(DATA_GATES)]
        return Tests(
            arrived=len(judged),
            tested=len(tested),
            passed={kind: sum(kind in kinds for kinds in passed.values()) for kind in DATA_GATES},
            imported=len(self.arrivals) - len(judged),
            columns=tuple(self._columns()),
            last_caught=self._caught(),
            trend=tuple(self._share(month, judged, tested) for month in self.months),
        )

    def _passed(self, arrival: Delivered) -> set[str]:
        """The kinds of gate whose latest results, of each gate of that kind, had passed when it arrived."""
        latest = {
            (kind, run.stage, run.gate): run.verdict
            for kind, run in self._data_runs.get(arrival.event.bundle, ())
            if run.finished_at and run.finished_at <= arrival.at
        }
        kinds = {kind for kind, _, _ in latest}
        return kinds - {kind for (kind, _, _), verdict in latest.items() if verdict is not Verdict.PASSED}

    def _columns(self) -> Iterator[Columns]:
        for one in self.live:
            for run in self._schema_run(one.event.bundle):
                judged = self._runs[run.id].columns if run.id in self._runs else {}
                if judged:
                    yield Columns(self._named(one.event.bundle), sum(judged.values()), len(judged))

    def _caught(self) -> Caught | None:
        run = self._last_caught
        if run is None or run.finished_at is None:
            return None
        summary = self._runs[run.id].summary if run.id in self._runs else ""
        return Caught(self._named(run.bundle), run.gate, run.stage, run.finished_at, summary)

    def way_back(self) -> WayBack:
        value, failed = self.values["rollback_time"], self.values["rollbacks_failed"].n
        drills = tuple(drill for drill in self._practised if self.within.contains(drill.at))
        broken = sum(drill.outcome not in ("", PASSED) for drill in drills)
        tried = [*(sample.at for sample in value.samples), *(drill.at for drill in drills if drill.back is not None)]
        return WayBack(
            rollbacks=value,
            failed=failed + broken,
            rows=self._timed("rollback_time"),
            drills=drills,
            last_tried=max(tried, default=None),
            targets=tuple(self._targets()),
            trend=tuple(self._median_tried(month, value.samples, drills) for month in self.months),
        )

    def _targets(self) -> Iterator[Target]:
        """For what is live, the best of the targets that a preflight looked at."""
        worth = {Answer.SAFE: 0, Answer.UNKNOWN: 1, Answer.UNSAFE: 2}
        for one in self.live:
            slot, bundle = (one.event.application, one.event.stage), one.event.bundle
            looked = [
                (fresh(p.answer, p.looked_at, same_live=p.against_bundle_id == bundle, now=self.now), p)
                for p in self._preflights
                if (p.application, p.stage) == slot and p.bundle_id != bundle
            ]
            best = min(looked, key=lambda pair: (worth[pair[0]], -(pair[1].id or 0)), default=None)
            if best is None:
                yield Target(self._named(bundle), None, Answer.UNKNOWN, None)
            else:
                yield Target(self._named(bundle), self._named(best[1].bundle_id), best[0], best[1].looked_at)

    def reproducible(self) -> Reproducible:
        served = [(month, [self._recorded(one.event.bundle) for one in ones]) for month, ones in self.served]
        last, bundles = served[-2]
        return Reproducible(
            month=last.first,
            bundles=tuple(bundles),
            trend=tuple(Month(month.first, _completeness(found)) for month, found in served),
        )

    def _recorded(self, bundle: Id) -> Recorded:
        found = self._bundles.get(bundle)
        parts = found.parts if found else {}
        return Recorded(
            bundle=self._named(bundle),
            gaps=found.gaps if found else (),
            known=tuple(name for name, known in parts.items() if known),
            missing=tuple(name for name, known in parts.items() if not known),
        )

    def holding(self) -> Holding:
        values = self.values
        began = [one.impact_started_at for one in self.events.incidents if one.impact_started_at <= self.now]
        return Holding(
            fail_rate=values["change_fail_rate"],
            rework=values["deployment_rework_rate"],
            still_failing=values["recovery_open"].n,
            failed=values["failed_deployments"].n,
            catch_rate=values["gate_catch_rate"],
            last_incident=max(began, default=None),
            incidents_are_reported=self.events.incidents_are_reported,
            trend=self._trend("change_fail_rate"),
        )

    # -- small parts ---------------------------------------------------------------------------------------------

    def _timed(self, name: str) -> tuple[Timed, ...]:
        """The newest first."""
        return tuple(
            Timed(self._named(self.history.by_id[s.id].event.bundle), s.at, timedelta(hours=s.value))
            for s in reversed(self._newest(name))
        )

    def _named(self, bundle: Id) -> Named:
        found = self._bundles.get(bundle)
        return found.named if found else Named("", f"bundle {bundle}", None)

    def _trend(self, name: str) -> tuple[Month, ...]:
        return tuple(Month(m.first, measure(self.history, m, [name])[name].value) for m in self.months)

    @staticmethod
    def _share(month: Window, judged: Sequence[Delivered], tested: Sequence[Delivered]) -> Month:
        arrived = sum(month.contains(d.at) for d in judged)
        return Month(month.first, sum(month.contains(d.at) for d in tested) / arrived if arrived else None)

    @staticmethod
    def _median_tried(month: Window, rollbacks: Samples, drills: Iterable[Practised]) -> Month:
        """Hours, of everything tried in the month."""
        real = [sample.value for sample in rollbacks if month.contains(sample.at)]
        practised = [drill.back / timedelta(hours=1) for drill in drills if drill.back and month.contains(drill.at)]
        tried = sorted([*real, *practised])
        middle = (tried[(len(tried) - 1) // 2] + tried[len(tried) // 2]) / 2 if tried else None
        return Month(month.first, middle)


def _months(zone: str, now: datetime) -> Iterator[Window]:
    """The latest calendar months of the zone, the current one last."""
    today = now.astimezone(ZoneInfo(zone)).date()
    for back in reversed(range(MONTHS)):
        first = _first_of_month(today, back)
        yield window(first, _first_of_month(today, back - 1), zone)


def _first_of_month(day: date, back: int) -> date:
    months = day.year * 12 + day.month - 1 - back
    return date(months // 12, months % 12 + 1, 1)


def _completeness(served: Sequence[Recorded]) -> float | None:
    """The share of parts that are on record, of all that served together."""
    known, missing = sum(len(one.known) for one in served), sum(len(one.missing) for one in served)
    return known / (known + missing) if known + missing else None
