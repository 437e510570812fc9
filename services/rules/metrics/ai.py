"""What is particular to delivering models: from training and data to production, the way back, ages, waits, gates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from operator import attrgetter

from services.rules.domain import Verdict
from services.rules.metrics.delivery import Metric
from services.rules.metrics.events import BlockDecision, GateRunEvent, Id, ReproductionOutcome, TrainingFacts, id_order
from services.rules.metrics.history import History
from services.rules.metrics.kinds import Delivered
from services.rules.metrics.values import Answer, Sample, Value, hours
from services.rules.metrics.waits import ZERO, Waits
from services.rules.metrics.windows import Window

Born = Callable[[TrainingFacts], datetime | None]


def _answer(history: History, window: Window) -> Answer:
    return Answer(window, history.as_of)


# -- lead times and rollbacks ------------------------------------------------------------------------------------


def lead_time_training(history: History, window: Window) -> Value:
    return _answer(history, window).median("lead_time_training", history.training_leads.within(window))


def lead_time_training_p90(history: History, window: Window) -> Value:
    return _answer(history, window).p90("lead_time_training_p90", history.training_leads.within(window))


def lead_time_data(history: History, window: Window) -> Value:
    return _answer(history, window).median("lead_time_data", history.data_leads.within(window))


def lead_time_data_p90(history: History, window: Window) -> Value:
    return _answer(history, window).p90("lead_time_data_p90", history.data_leads.within(window))


def rollback_time(history: History, window: Window) -> Value:
    failed = len(history.failed_rollbacks.within(window))
    notes = (f"{failed} failed, listed apart",) if failed else ()
    return _answer(history, window).median("rollback_time", history.rollbacks.within(window), notes=notes)


def rollback_time_max(history: History, window: Window) -> Value:
    samples = history.rollbacks.within(window)
    longest = max((sample.value for sample in samples), default=None)
    return _answer(history, window).make("rollback_time_max", longest, samples)


def rollbacks_failed(history: History, window: Window) -> Value:
    return _answer(history, window).count("rollbacks_failed", history.failed_rollbacks.within(window))


# -- ages --------------------------------------------------------------------------------------------------------


def _training_end(facts: TrainingFacts) -> datetime | None:
    return facts.ended_at


def _cutoff(facts: TrainingFacts) -> datetime | None:
    return max((dataset.cutoff for dataset in facts.datasets), default=None)


def model_age(history: History, window: Window) -> Value:
    return _age("model_age", history, window, _training_end)


def model_age_mean(history: History, window: Window) -> Value:
    return _mean_age("model_age_mean", history, window, _training_end)


def data_age(history: History, window: Window) -> Value:
    return _age("data_age", history, window, _cutoff)


def data_age_mean(history: History, window: Window) -> Value:
    return _mean_age("data_age_mean", history, window, _cutoff)


def _turns(history: History) -> Iterator[tuple[Delivered, datetime | None]]:
    """Each deployment that served, and until when; none for what serves still. Redeploys prolong the turn."""
    serving: dict[str, Delivered] = {}
    for one in history.delivered:
        before = serving.get(one.event.application)
        if before is not None and before.event.bundle == one.event.bundle:
            continue
        if before is not None:
            yield before, one.at
        serving[one.event.application] = one
    for last in serving.values():
        yield last, None


def _served(history: History, window: Window, born: Born) -> list[tuple[Delivered, datetime, datetime, datetime]]:
    """What served in the window, from when until when, and when it was born."""
    close = min(window.end, history.as_of)
    found = []
    for one, until in _turns(history):
        birth = _birth(history, one, born)
        start, end = max(one.at, window.start), min(until or close, close)
        if birth is not None and start < end:
            found.append((one, start, end, birth))
    return sorted(found, key=lambda row: (row[0].at, id_order(row[0].id)))


def _age(name: str, history: History, window: Window, born: Born) -> Value:
    moment = min(window.end, history.as_of)
    samples = tuple(
        Sample(one.at, one.id, hours(moment - birth), detail=str(one.event.bundle))
        for one, until in _turns(history)
        if one.at <= moment and (until is None or moment < until)
        for birth in [_birth(history, one, born)]
        if birth is not None
    )
    return _answer(history, window).median(name, tuple(sorted(samples, key=lambda s: (s.at, id_order(s.id)))))


def _birth(history: History, one: Delivered, born: Born) -> datetime | None:
    """None where it is not known, or lies after the deployment: a negative age, which stands in data quality."""
    facts = history.trainings.get(one.event.bundle)
    birth = born(facts) if facts else None
    return birth if birth is not None and birth <= one.at else None


def _mean_age(name: str, history: History, window: Window, born: Born) -> Value:
    """Over a turn the age grows steadily, so its mean is the age in the middle; turns weigh by their length."""
    served = _served(history, window, born)
    samples = tuple(
        Sample(one.at, one.id, hours(start + (end - start) / 2 - birth), detail=str(one.event.bundle))
        for one, start, end, birth in served
    )
    weights = [hours(end - start) for _, start, end, _ in served]
    mean = sum(s.value * w for s, w in zip(samples, weights, strict=True)) / sum(weights) if weights else None
    return _answer(history, window).make(name, mean, samples)


# -- reproducibility ---------------------------------------------------------------------------------------------


def reproducibility(history: History, window: Window) -> Value:
    good = (ReproductionOutcome.EXACT, ReproductionOutcome.TOLERANT)
    tried = sorted(
        (a for a in history.events.reproductions if a.finished_at <= history.as_of and window.contains(a.finished_at)),
        key=lambda a: (a.finished_at, id_order(a.id)),
    )
    broken = sum(1 for attempt in tried if attempt.outcome is ReproductionOutcome.ERRORED)
    samples = tuple(
        Sample(a.finished_at, a.id, float(a.outcome in good), "reproduction", a.outcome.value)
        for a in tried
        if a.outcome is not ReproductionOutcome.ERRORED
    )
    notes = (f"{broken} ended in an error of the infrastructure",) if broken else ()
    return _answer(history, window).share("reproducibility", samples, notes=notes)


# -- waits -------------------------------------------------------------------------------------------------------


def wait_gates(history: History, window: Window) -> Value:
    return _wait("wait_gates", history, window, attrgetter("gates"))


def wait_approval(history: History, window: Window) -> Value:
    return _wait("wait_approval", history, window, attrgetter("approval"))


def wait_deploy(history: History, window: Window) -> Value:
    return _wait("wait_deploy", history, window, attrgetter("deploy"))


def wait_queue(history: History, window: Window) -> Value:
    return _wait("wait_queue", history, window, attrgetter("queue"))


def wait_total(history: History, window: Window) -> Value:
    return _wait("wait_total", history, window, attrgetter("total"))


def _wait(name: str, history: History, window: Window, part: Callable[[Waits], timedelta]) -> Value:
    whole = history.waited.within(window)
    durations = [part(history.waits[sample.id]) for sample in whole]
    samples = tuple(s._replace(value=hours(d)) for s, d in zip(whole, durations, strict=True))
    mean = hours(sum(durations, ZERO)) / len(durations) if durations else None
    return _answer(history, window).make(name, mean, samples)


def flow_efficiency(history: History, window: Window) -> Value:
    whole = history.waited.within(window)
    waits = [history.waits[sample.id] for sample in whole]
    total = sum((w.total for w in waits), ZERO)
    working = sum((w.gates + w.deploy for w in waits), ZERO)
    samples = tuple(s._replace(value=w.efficiency or 0.0) for s, w in zip(whole, waits, strict=True))
    notes = () if total or not whole else ("every deployment took no time at all",)
    return _answer(history, window).make("flow_efficiency", working / total if total else None, samples, notes=notes)


# -- gates -------------------------------------------------------------------------------------------------------


def _blocks(history: History, window: Window) -> list[GateRunEvent]:
    """Results in the window that kept a bundle out, by time. Each run once."""
    runs = {
        run.id: (run.finished_at, id_order(run.id), run)
        for run in history.events.gate_runs
        if run.enforcing and run.verdict not in (None, Verdict.PASSED) and run.finished_at is not None
    }
    found = sorted(row for row in runs.values() if row[0] <= history.as_of and window.contains(row[0]))
    return [run for _, _, run in found]


def gate_catch_rate(history: History, window: Window) -> Value:
    """A caught bundle opens the run that caught it first."""
    caught: dict[Id, Sample] = {}
    for run in _blocks(history, window):
        if run.decision is BlockDecision.DEFECT and run.finished_at is not None:
            caught.setdefault(run.bundle, Sample(run.finished_at, run.id, 1.0, "gate run", run.gate))
    failed = tuple(sample._replace(value=0.0) for sample in history.forward.within(window) if sample.value)
    return _answer(history, window).share("gate_catch_rate", (*caught.values(), *failed))


def false_block_rate(history: History, window: Window) -> Value:
    """A bundle that one gate of one stage blocked again and again is one block, as last decided."""
    decided: dict[tuple[str, Id, str], GateRunEvent] = {}
    for run in _blocks(history, window):
        if run.decision is not None or _waived(run, history.as_of):
            decided[run.stage, run.bundle, run.gate] = run
    arrivals: dict[Id, list[Delivered]] = {}
    for one in history.delivered:
        if one.counts:
            arrivals.setdefault(one.event.bundle, []).append(one)
    samples, unknown = [], 0
    for run in sorted(decided.values(), key=lambda r: (r.finished_at or history.as_of, id_order(r.id))):
        clean = _clean_after(history, run, arrivals.get(run.bundle, []))
        unknown += clean is None
        samples.append(Sample(run.finished_at or history.as_of, run.id, float(clean is True), "gate run", run.gate))
    notes = (f"{unknown} waived and not yet known to be clean, counted as not false",) if unknown else ()
    return _answer(history, window).share("false_block_rate", tuple(samples), notes=notes)


def _waived(run: GateRunEvent, as_of: datetime) -> bool:
    return run.waived_at is not None and run.waived_at <= as_of


def _clean_after(history: History, run: GateRunEvent, arrivals: list[Delivered]) -> bool | None:
    """Whether the block was a false one: as somebody said, else as the deployment after the waiver went."""
    if run.decision is not None:
        return run.decision is BlockDecision.FALSE
    after = next((one for one in arrivals if run.waived_at is not None and one.at >= run.waived_at), None)
    if after is None:
        return None
    failure = history.failures.get(after.id)
    if failure is not None and failure.first_sign <= after.at + history.attribution(after):
        return False
    return None if history.maturing(after) else True


METRICS: dict[str, Metric] = {
    metric.__name__: metric
    for metric in (
        lead_time_training,
        lead_time_training_p90,
        lead_time_data,
        lead_time_data_p90,
        rollback_time,
        rollback_time_max,
        rollbacks_failed,
        model_age,
        model_age_mean,
        data_age,
        data_age_mean,
        reproducibility,
        wait_gates,
        wait_approval,
        wait_deploy,
        wait_queue,
        wait_total,
        flow_efficiency,
        gate_catch_rate,
        false_block_rate,
    )
}
