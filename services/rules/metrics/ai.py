"""What is particular to delivering models: from training and data to production, the way back, ages, waits, gates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from services.rules.metrics.delivery import Metric
from services.rules.metrics.events import BlockDecision, GateRunEvent, Id, ReproductionOutcome
from services.rules.metrics.history import History
from services.rules.metrics.kinds import Delivered
from services.rules.metrics.samples import Floats, Sample, Samples
from services.rules.metrics.values import Answer, Value
from services.rules.metrics.waits import MICROSECONDS, Integers, WaitColumns
from services.rules.metrics.windows import Window

HOUR = 3600.0  # in seconds


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
    longest = float(samples.values.max()) if samples else None
    return _answer(history, window).make("rollback_time_max", longest, samples)


def rollbacks_failed(history: History, window: Window) -> Value:
    return _answer(history, window).count("rollbacks_failed", history.failed_rollbacks.within(window))


# -- ages --------------------------------------------------------------------------------------------------------


def model_age(history: History, window: Window) -> Value:
    return _age("model_age", history, window, history.model_births)


def model_age_mean(history: History, window: Window) -> Value:
    return _mean_age("model_age_mean", history, window, history.model_births)


def data_age(history: History, window: Window) -> Value:
    return _age("data_age", history, window, history.data_births)


def data_age_mean(history: History, window: Window) -> Value:
    return _mean_age("data_age_mean", history, window, history.data_births)


def _age(name: str, history: History, window: Window, births: Floats) -> Value:
    moment = min(window.end, history.as_of).timestamp()
    serving = (history.turns.begins <= moment) & (moment < history.turns.ends) & ~np.isnan(births)
    return _answer(history, window).median(name, _ages(history, serving, (moment - births[serving]) / HOUR))


def _mean_age(name: str, history: History, window: Window, births: Floats) -> Value:
    """Over a turn the age grows steadily, so its mean is the age in the middle; turns weigh by their length."""
    begins = np.maximum(history.turns.begins, window.start.timestamp())
    ends = np.minimum(history.turns.ends, min(window.end, history.as_of).timestamp())
    served = (begins < ends) & ~np.isnan(births)
    ages = ((begins + ends) / 2 - births)[served] / HOUR
    mean = float(np.average(ages, weights=(ends - begins)[served])) if len(ages) else None
    return _answer(history, window).make(name, mean, _ages(history, served, ages))


def _ages(history: History, rows: NDArray[np.bool_], ages: Floats) -> Samples:
    found = [history.turns.delivered[row] for row in np.flatnonzero(rows).tolist()]
    return Samples([one.at for one in found], [one.id for one in found], ages)


# -- reproducibility ---------------------------------------------------------------------------------------------


def reproducibility(history: History, window: Window) -> Value:
    good = (ReproductionOutcome.EXACT, ReproductionOutcome.TOLERANT)
    tried = [
        a for a in history.events.reproductions if a.finished_at <= history.as_of and window.contains(a.finished_at)
    ]
    broken = sum(1 for attempt in tried if attempt.outcome is ReproductionOutcome.ERRORED)
    samples = Samples.of(
        Sample(a.finished_at, a.id, float(a.outcome in good), "reproduction", a.outcome.value)
        for a in tried
        if a.outcome is not ReproductionOutcome.ERRORED
    )
    notes = (f"{broken} ended in an error of the infrastructure",) if broken else ()
    return _answer(history, window).share("reproducibility", samples, notes=notes)


# -- waits -------------------------------------------------------------------------------------------------------


def wait_gates(history: History, window: Window) -> Value:
    return _wait("wait_gates", history, window, lambda waits: waits.gates)


def wait_approval(history: History, window: Window) -> Value:
    return _wait("wait_approval", history, window, lambda waits: waits.approval)


def wait_deploy(history: History, window: Window) -> Value:
    return _wait("wait_deploy", history, window, lambda waits: waits.deploy)


def wait_queue(history: History, window: Window) -> Value:
    return _wait("wait_queue", history, window, lambda waits: waits.queue)


def wait_total(history: History, window: Window) -> Value:
    return _wait("wait_total", history, window, lambda waits: waits.total)


def _wait(name: str, history: History, window: Window, part: Callable[[WaitColumns], Integers]) -> Value:
    durations = part(history.waits)[_rows(history, window)]
    samples = history.waited.within(window).valued(durations / MICROSECONDS)
    mean = float(durations.sum() / len(durations) / MICROSECONDS) if len(durations) else None
    return _answer(history, window).make(name, mean, samples)


def _rows(history: History, window: Window) -> slice:
    return slice(*history.waited.positions((window.start, window.end)))


def flow_efficiency(history: History, window: Window) -> Value:
    rows, waits = _rows(history, window), history.waits
    total, working = waits.total[rows], (waits.gates + waits.deploy)[rows]
    each = np.divide(working, total, out=np.zeros(len(total)), where=total > 0)
    samples = history.waited.within(window).valued(each)
    together = float(working.sum() / total.sum()) if total.any() else None
    notes = () if together is not None or not samples else ("every deployment took no time at all",)
    return _answer(history, window).make("flow_efficiency", together, samples, notes=notes)


# -- gates -------------------------------------------------------------------------------------------------------


def _blocks(history: History, window: Window) -> list[GateRunEvent]:
    return [run for run in history.blocks if run.finished_at and window.contains(run.finished_at)]


def gate_catch_rate(history: History, window: Window) -> Value:
    """A caught bundle opens the run that caught it first."""
    caught: dict[Id, Sample] = {}
    for run in _blocks(history, window):
        if run.decision is BlockDecision.DEFECT and run.finished_at is not None:
            caught.setdefault(run.bundle, Sample(run.finished_at, run.id, 1.0, "gate run", run.gate))
    failed = history.forward.within(window).hits.valued(0.0)
    return _answer(history, window).share("gate_catch_rate", Samples.of([*caught.values(), *failed]))


def false_block_rate(history: History, window: Window) -> Value:
    """A bundle that one gate of one stage blocked again and again is one block, as last decided."""
    decided: dict[tuple[str, Id, str], GateRunEvent] = {}
    for run in _blocks(history, window):
        if run.decision is not None or _waived(run, history.as_of):
            decided[run.stage, run.bundle, run.gate] = run
    bundles = {run.bundle for run in decided.values()}
    arrivals = [one for one in history.delivered if one.counts and one.event.bundle in bundles] if bundles else []
    samples, unknown = [], 0
    for run in decided.values():
        clean = _clean_after(history, run, [one for one in arrivals if one.event.bundle == run.bundle])
        unknown += clean is None
        samples.append(Sample(run.finished_at or history.as_of, run.id, float(clean is True), "gate run", run.gate))
    notes = (f"{unknown} waived and not yet known to be clean, counted as not false",) if unknown else ()
    return _answer(history, window).share("false_block_rate", Samples.of(samples), notes=notes)


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
