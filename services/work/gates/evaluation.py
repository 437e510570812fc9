"""The evaluation gate: a metric computed on the held-out data against a limit. The confidence bound decides.

The logged value is shown beside it. It decides only where there is no data to measure on and the policy accepts it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from services.errors import ArtifactUnusable, BadInput
from services.rules import metric_names
from services.rules.domain import GateOutcome, Verdict
from services.work.gates import columns, intervals, models, predictions, tables
from services.work.gates.intervals import Interval
from services.work.gates.task import GateTask, Progress, many, quoted

LEAST_ROWS = 200
LEAST_OF_A_CLASS = 50
INFINITE = 1.79e308  # how MLflow stores an infinite metric


@dataclass(frozen=True)
class Rule:
    """What the gate demands. Higher is better or worse by the metric; `confidence` is one-sided."""

    metric: str
    limit: float
    confidence: float = 0.95

    @property
    def higher_is_better(self) -> bool:
        return self.metric in metric_names.HIGHER_IS_BETTER

    @property
    def direction(self) -> str:
        return "at least" if self.higher_is_better else "at most"

    def met_by(self, value: float) -> bool:
        return value >= self.limit if self.higher_is_better else value <= self.limit


@dataclass(frozen=True)
class Measured:
    """A metric on held-out rows. `rarer` counts the rows of the rarer class, none where there are no two classes."""

    interval: Interval
    rows: int
    positives: int | None = None
    rarer: int | None = None


def judge(task: GateTask, progress: Progress) -> GateOutcome:
    """Judge the model on the held-out data.

    Raises ArtifactUnusable or BadInput where data or model are not what they should be.
    """
    rule = _rule(task)
    source: tables.Source | str = 'the gate reads only what the run logged (source = "run")'
    if task.definition.get("source", "data") == "data":
        source = tables.find(task, "evaluation")
    if isinstance(source, str):
        return judge_logged(rule, task.metrics.get(rule.metric), bool(task.definition.get("accept_logged")), source)
    progress("reading the held-out data")
    table = tables.read(source)
    truth, features, warnings = held_out(table, task)
    progress("loading the model")
    model, of_loading = models.load(task)
    progress(f"scoring {many(len(features), 'row')}")
    predicted = predictions.of_model(model, rule.metric, features)
    progress("resampling" if rule.metric not in ("accuracy", "precision", "recall") else "counting")
    measured = measure(rule, truth, predicted)
    logged = _finite(task.metrics.get(rule.metric))
    return judge_measured(rule, measured, logged, (*warnings, *of_loading), table.digest)


def held_out(table: tables.Table, task: GateTask) -> tuple[pd.Series, pd.DataFrame, list[str]]:
    """The target and the features of the rows that have a target, and warnings.

    Raises BadInput where a column is missing or doubled, or the target has no value at all.
    """
    frame = table.frame
    names = [str(name) for name in frame.columns]
    wanted = [*task.features, task.target]
    if missing := [name for name in wanted if name not in names]:
        what = "its target" if missing == [task.target] else many(len(missing), "column")
        raise BadInput(
            f"The held-out data {table.name} lacks {what}: {quoted(missing)}. It has {quoted(names)}.",
            "Log held-out data with the columns that the policy names in data.features and data.target.",
        )
    if doubled := sorted({name for name in wanted if names.count(name) > 1}):
        raise BadInput(f"The held-out data {table.name} has {quoted(doubled)} twice.", "Write each column once.")
    asked = [str(column["name"]) for column in task.signature_inputs if column.get("required", True)]
    if undeclared := [name for name in asked if name not in task.features]:
        raise BadInput(
            f"The model takes {quoted(undeclared)}, which the policy does not name among the features.",
            "Train without it, or add it to data.features if it is known when the model is asked.",
        )
    known = frame[task.target].notna()
    if not known.any():
        raise BadInput(
            f"The target '{task.target}' has no value in any held-out row.", "Log data whose target is known."
        )
    without = int((~known).sum())
    warnings = [f"Left out: {many(without, 'row')} without a target."] if without else []
    rows = frame.loc[known]
    return rows[task.target].reset_index(drop=True), fitted(rows, task, task.features), warnings


def fitted(rows: pd.DataFrame, task: GateTask, names: Sequence[str]) -> pd.DataFrame:
    """These columns, in the types that the signature of the task's model names."""
    types = {str(column["name"]): column.get("type") for column in task.signature_inputs}
    features = pd.DataFrame({name: columns.fitted(rows[name], types.get(name)) for name in names})
    return features.reset_index(drop=True)


def measure(rule: Rule, truth: pd.Series, predicted: np.ndarray[Any, Any]) -> Measured:
    """The metric and its bounds. `predicted` are probabilities of the positive class, labels or numbers, as it needs.

    Raises BadInput or ArtifactUnusable where the two do not fit the metric.
    """
    one_a_row(truth, predicted)
    if rule.metric in metric_names.REGRESSION:
        actual = numeric_target(rule.metric, truth)
        numbers = predictions.numbers(predicted)
        return Measured(intervals.from_rows(rule.metric, actual, numbers, rule.confidence), len(actual))
    if rule.metric == "accuracy" and truth.nunique() > 2:
        hits = int((truth.astype(str).to_numpy() == pd.Series(predicted).astype(str).to_numpy()).sum())
        return Measured(intervals.rate(hits, len(truth), rule.confidence), len(truth))
    positive = positive_class(truth)
    are_yes = (truth == positive).to_numpy(dtype=bool)
    yes = int(are_yes.sum())
    if not 0 < yes < len(are_yes):  # no metric of two classes means anything with one
        nothing = Interval(math.nan, math.nan, math.nan, "none")
        return Measured(nothing, len(are_yes), yes, 0)
    if rule.metric in predictions.FROM_PROBABILITIES:
        interval = _from_probabilities(rule, are_yes, predictions.numbers(predicted))
    else:
        interval = _from_labels(rule, are_yes, predictions.said_yes(predicted, positive))
    return Measured(interval, len(are_yes), yes, min(yes, len(are_yes) - yes))


def one_a_row(truth: pd.Series, predicted: np.ndarray[Any, Any]) -> None:
    """Raises ArtifactUnusable where the model did not answer once for each row."""
    if predicted.shape != (len(truth),):
        raise ArtifactUnusable(
            f"The model answered {many(len(predicted), 'value')} for {many(len(truth), 'row')}.",
            "Correct the model: it must give one prediction a row.",
        )


def numeric_target(metric: str, truth: pd.Series) -> intervals.Floats:
    """The target as finite numbers. Raises BadInput where it is not."""
    if not pd.api.types.is_numeric_dtype(truth.dtype):
        raise BadInput(f"{metric} needs a number as target, and '{truth.name}' is not one.", "Choose another metric.")
    actual = truth.to_numpy(dtype=float)
    if not np.isfinite(actual).all():
        raise BadInput(f"The target '{truth.name}' has infinite values.", "Correct the held-out data.")
    return actual


def positive_class(truth: pd.Series) -> object:
    """1 or True where the target is one of them, else the second of two labels in order, as scikit-learn has it.

    Raises BadInput for more than two classes.
    """
    classes = sorted(truth.unique().tolist(), key=lambda label: (str(type(label)), label))
    if len(classes) > 2:
        raise BadInput(
            f"This metric judges two classes, and the target has {len(classes)}.",
            "Choose accuracy or a regression metric, or a target with two classes.",
        )
    if set(classes) <= {0, 1}:
        return 1
    return classes[-1]


def judge_measured(
    rule: Rule, measured: Measured, logged: float | None, warnings: tuple[str, ...] = (), digest: str = ""
) -> GateOutcome:
    """The verdict: the bound on the right side passes, the whole interval on the wrong side fails, else don't know."""
    interval, rows = measured.interval, measured.rows
    evidence = _evidence(rule, logged, f"measured on {many(rows, 'held-out row')}")
    evidence |= {
        "value": _finite(interval.value),
        "low": _finite(interval.low),
        "high": _finite(interval.high),
        "n": rows,
        "positives": measured.positives,
        "method": interval.method,
    }
    few = _too_few(measured)
    if few or not math.isfinite(interval.value):
        value = (
            f"{rule.metric} {shown(interval.value)}" if math.isfinite(interval.value) else f"{rule.metric} has no value"
        )
        why = few or "the model never says yes, or the target never varies"
        return GateOutcome(
            Verdict.INCONCLUSIVE, f"{value} on {many(rows, 'held-out row')}: {why}.", evidence, warnings, digest
        )
    return _against_limit(rule, measured, evidence, warnings, digest)


def judge_logged(rule: Rule, logged: float | None, accepted: bool, why: str) -> GateOutcome:
    """Nothing to measure on: the logged value decides only where the policy accepts it, and the summary says so."""
    evidence = _evidence(rule, _finite(logged), "logged by the run")
    evidence |= {"value": _finite(logged), "low": None, "high": None, "n": None, "positives": None, "method": "none"}
    if logged is None:
        return GateOutcome(
            Verdict.INCONCLUSIVE, f"Nothing to judge: {why}, and the run logged no {rule.metric}.", evidence
        )
    if _finite(logged) is None:
        raise BadInput(f"The run logged a {rule.metric} that is not a finite number.", "Log the model again.")
    said = f"{rule.metric} {shown(logged)} as the run logged it, limit {rule.limit:g}"
    if not accepted:
        return GateOutcome(Verdict.INCONCLUSIVE, f"{said}; not measured here: {why}.", evidence)
    warning = f"This is what the run logged; nothing was measured here, since {why}."
    verdict = Verdict.PASSED if rule.met_by(logged) else Verdict.FAILED
    return GateOutcome(verdict, f"{said}; the policy accepts logged values.", evidence, (warning,))


def shown(value: float, beside: float | None = None) -> str:
    """A metric as people read it, with as many digits as tell it from the number it stands beside."""
    size = abs(value)
    digits = next(digits for least, digits in ((1000, 0), (100, 1), (0.01, 3), (0.0, 5)) if size >= least)
    while beside is not None and value != beside and digits < 9 and round(value, digits) == round(beside, digits):
        digits += 1
    return f"{value:,.{digits}f}"


def _against_limit(
    rule: Rule, measured: Measured, evidence: dict[str, Any], warnings: tuple[str, ...], digest: str
) -> GateOutcome:
    interval = measured.interval
    worst, best = (interval.low, interval.high) if rule.higher_is_better else (interval.high, interval.low)
    said = f"{rule.metric} {shown(interval.value)} on {many(measured.rows, 'held-out row')}"
    sure, limit = f"with {rule.confidence * 100:g} % confidence", f"limit {rule.limit:g}"
    if rule.met_by(worst):
        return GateOutcome(
            Verdict.PASSED,
            f"{said}; {rule.direction} {shown(worst, rule.limit)} {sure}, {limit}.",
            evidence,
            warnings,
            digest,
        )
    if not rule.met_by(best):
        other = "at most" if rule.higher_is_better else "at least"
        return GateOutcome(
            Verdict.FAILED, f"{said}; {other} {shown(best, rule.limit)} {sure}, {limit}.", evidence, warnings, digest
        )
    needed = intervals.rows_to_decide(interval, rule.limit, measured.rows)
    evidence["rows_to_decide"] = needed
    more = f"About {needed:,} rows would decide" if needed else "It lies too near the limit for more rows to decide"
    between = f"between {shown(interval.low, rule.limit)} and {shown(interval.high, rule.limit)}"
    return GateOutcome(
        Verdict.INCONCLUSIVE, f"{said}, {between}, on both sides of the {limit}. {more}.", evidence, warnings, digest
    )


def _too_few(measured: Measured) -> str:
    return too_few(measured.rows, measured.positives if measured.rarer is not None else None)


def too_few(rows: int, positives: int | None) -> str:
    """Why so many rows, and positives where there are two classes, do not suffice; empty where they do."""
    if rows < LEAST_ROWS:
        return f"too few to judge, at least {LEAST_ROWS} are needed"
    if positives is not None and (rarer := min(positives, rows - positives)) < LEAST_OF_A_CLASS:
        which = "positive" if positives == rarer else "negative"
        return f"only {many(rarer, which)}, at least {LEAST_OF_A_CLASS} are needed"
    return ""


def _from_probabilities(rule: Rule, actual: intervals.Labels, probability: intervals.Floats) -> Interval:
    if rule.metric == "roc_auc":
        return intervals.roc_auc(actual, probability, rule.confidence)
    if rule.metric == "average_precision":
        return intervals.average_precision(actual, probability, rule.confidence)
    return intervals.from_rows(rule.metric, actual.astype(float), probability, rule.confidence)


def _from_labels(rule: Rule, actual: intervals.Labels, said: intervals.Labels) -> Interval:
    if rule.metric == "accuracy":
        return intervals.rate(int((actual == said).sum()), len(actual), rule.confidence)
    if rule.metric == "recall":
        return intervals.rate(int((actual & said).sum()), int(actual.sum()), rule.confidence)
    if rule.metric == "precision":
        if not said.any():
            return Interval(math.nan, math.nan, math.nan, "none")
        return intervals.rate(int((actual & said).sum()), int(said.sum()), rule.confidence)
    return intervals.from_cells(rule.metric, actual, said, rule.confidence)


def _evidence(rule: Rule, logged: float | None, source: str) -> dict[str, Any]:
    return {
        "metric": rule.metric,
        "limit": rule.limit,
        "direction": rule.direction,
        "confidence": rule.confidence,
        "source": source,
        "logged": logged,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) and abs(value) < INFINITE else None


def _rule(task: GateTask) -> Rule:
    definition = task.definition
    metric = str(definition["metric"])
    limit = definition["min"] if metric in metric_names.HIGHER_IS_BETTER else definition["max"]
    return Rule(metric, float(limit), float(definition.get("confidence", 0.95)))
