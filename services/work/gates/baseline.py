"""The baseline gate: no worse than what is live now, by more than the margin, on the same held-out rows.

Both models are asked about the rows that were held out from the candidate, and the paired difference decides: its
bound on the right side of the margin passes, the whole interval beyond the margin fails, else nobody knows yet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from services.errors import BadInput
from services.rules import metric_names
from services.rules.domain import ComponentKind, GateOutcome, Verdict
from services.work.gates import evaluation, models, paired, predictions, tables
from services.work.gates.evaluation import shown
from services.work.gates.paired import Difference
from services.work.gates.task import GateTask, Progress, many, nothing_live, quoted

Answers = np.ndarray[Any, Any]
ALIKE = "the two models give the same answer on every row"


@dataclass(frozen=True)
class Rule:
    """What the gate demands, of a difference of candidate minus live."""

    metric: str
    margin: float
    confidence: float = 0.95

    @property
    def higher_is_better(self) -> bool:
        return self.metric in metric_names.HIGHER_IS_BETTER

    @property
    def limit(self) -> float:
        """The largest difference to the worse."""
        return -self.margin if self.higher_is_better else self.margin

    def gain(self, difference: float) -> float:
        """Above zero where the candidate is the better one."""
        return difference if self.higher_is_better else -difference


@dataclass(frozen=True)
class Compared:
    """Two models on the same rows. `positives` is none where the metric knows no two classes."""

    difference: Difference
    rows: int
    positives: int | None = None
    alike: bool = False


def judge(task: GateTask, progress: Progress) -> GateOutcome:
    """Compare the model with the live one on the candidate's held-out data.

    Raises ArtifactUnusable, BadInput or RegistryUnreachable where one of the two cannot be asked.
    """
    rule = Rule(
        str(task.definition["metric"]),
        float(task.definition["margin"]),
        float(task.definition.get("confidence", Rule.confidence)),
    )
    if (known := _without_asking(task, rule)) is not None:
        return known
    source = tables.find(task, "evaluation")
    if isinstance(source, str):
        return GateOutcome(
            Verdict.INCONCLUSIVE,
            f"No held-out rows to compare the two on: {source}. Log them with mlflow.log_input, or set "
            "data.evaluation.path.",
            {"live": task.live_ref, "metric": rule.metric, "margin": rule.margin},
        )
    progress("reading the held-out data")
    table = tables.read(source)
    truth, features, warnings = evaluation.held_out(table, task)
    features_of_live = live_features(table, task)
    warnings += seen_by_live(task)
    answers = []
    for which, load, rows in (("candidate", models.load, features), ("live model", models.load_live, features_of_live)):
        progress(f"loading the {which}")
        model, of_loading = load(task)
        progress(f"scoring {many(len(rows), 'row')} with the {which}")
        answers.append(predictions.of_model(model, rule.metric, rows))
        warnings += of_loading
    progress("comparing")
    return outcome(rule, compare(rule, truth, answers[0], answers[1]), task.live_ref, tuple(warnings), table.digest)


def live_features(table: tables.Table, task: GateTask) -> pd.DataFrame:
    """The same rows as the live model takes them. Raises BadInput where it takes a column that they lack."""
    live, present = task.of_live(), [str(name) for name in table.frame.columns]
    inputs = live.signature_inputs
    required = [str(column["name"]) for column in inputs if column.get("required", True)]
    if missing := [name for name in required if name not in present]:
        raise BadInput(
            f"The live model of {task.live_ref} takes {quoted(missing)}, which the held-out data lacks, so the two "
            "cannot be asked about the same rows.",
            "Log held-out data that has the columns of both models, then run the gate again.",
        )
    names = [str(column["name"]) for column in inputs if column["name"] in present] or list(task.features)
    if doubled := sorted({name for name in names if present.count(name) > 1}):
        raise BadInput(f"The held-out data {table.name} has {quoted(doubled)} twice.", "Write each column once.")
    return evaluation.fitted(table.frame.loc[table.frame[task.target].notna()], live, names)


def seen_by_live(task: GateTask) -> list[str]:
    """A warning where the live model was trained on later data, in which the held-out rows may be."""
    ours, theirs = _cutoff(task), _cutoff(task.of_live())
    if ours is None or theirs is None or theirs <= ours:
        return []
    return [
        f"The live model was trained on data up to {theirs:%-d %b %Y}, later than this one ({ours:%-d %b %Y}): it may "
        "have seen the held-out rows, and look better than it is."
    ]


def _cutoff(task: GateTask) -> datetime | None:
    """How far the training data reaches, where that is said in a way that can be read."""
    said = [str(d.details["cutoff"]) for d in task.of_kind(ComponentKind.DATASET) if d.details.get("cutoff")]
    try:
        at = datetime.fromisoformat(said[0]) if said else None
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at and at.tzinfo is None else at


def compare(rule: Rule, truth: pd.Series, candidate: Answers, live: Answers) -> Compared:
    """The paired difference of the metric, with its bounds.

    Raises BadInput or ArtifactUnusable where answers or target do not fit the metric.
    """
    for answers in (candidate, live):
        evaluation.one_a_row(truth, answers)
    alike = bool(np.array_equal(candidate, live)) and _more_than_labels(rule.metric, candidate)
    if rule.metric in metric_names.REGRESSION:
        actual = evaluation.numeric_target(rule.metric, truth)
        ours, theirs = predictions.numbers(candidate), predictions.numbers(live)
        found = paired.from_rows(rule.metric, actual, ours, theirs, rule.confidence)
        return Compared(found, len(truth), alike=alike)
    if rule.metric == "accuracy" and truth.nunique() > 2:
        said = truth.astype(str).to_numpy()
        right = [said == pd.Series(answers).astype(str).to_numpy() for answers in (candidate, live)]
        return Compared(paired.rates(right[0], right[1], rule.confidence), len(truth), alike=alike)
    return _of_two_classes(rule, truth, candidate, live, alike)


def outcome(
    rule: Rule, compared: Compared, live_ref: str, warnings: tuple[str, ...] = (), digest: str = ""
) -> GateOutcome:
    """The verdict on a comparison, with its evidence."""
    found, rows = compared.difference, compared.rows
    evidence = {
        "live": live_ref,
        "metric": rule.metric,
        "value": _finite(found.candidate),
        "live_value": _finite(found.live),
        "difference": _finite(found.value),
        "low": _finite(found.low),
        "high": _finite(found.high),
        "margin": rule.margin,
        "direction": "higher is better" if rule.higher_is_better else "lower is better",
        "confidence": rule.confidence,
        "n": rows,
        "positives": compared.positives,
        "discordant": found.discordant,
        "method": found.method,
    }
    verdict, clause = _verdict(rule, compared)
    said = f"{rule.metric} {_number(found.candidate)} against {_number(found.live)} live ({live_ref})"
    if verdict is Verdict.INCONCLUSIVE:
        needed = paired.rows_to_decide(found, rule.margin, rows, rule.confidence, rule.gain(found.value))
        evidence["rows_to_decide"] = needed
        clause += f". About {needed:,} rows would decide" if needed else ""
    summary = f"{said} on the same {many(rows, 'held-out row')}; {clause}."
    return GateOutcome(verdict, summary, evidence, warnings, digest)


def signed(value: float, beside: float) -> str:
    """A difference with its sign, and as many digits as tell it from the limit it stands beside."""
    return f"{'-' if value < 0 else '+'}{shown(abs(value), abs(beside))}"


def _without_asking(task: GateTask, rule: Rule) -> GateOutcome | None:
    """What is known before any model is loaded: nothing to compare with, or the same model."""
    if task.live is None:
        return nothing_live()
    live = task.of_live()
    if not live.of_kind(ComponentKind.MODEL):
        return nothing_live(f"What is live ({task.live_ref}) has no model, so no model can be worse than it.")
    if task.model.digest and task.model.digest == live.model.digest:
        evidence = {"live": task.live_ref, "metric": rule.metric, "margin": rule.margin, "model": task.model.digest}
        return GateOutcome(Verdict.PASSED, f"The same model is live, in {task.live_ref}.", evidence)
    return None


def _of_two_classes(rule: Rule, truth: pd.Series, candidate: Answers, live: Answers, alike: bool) -> Compared:
    positive = evaluation.positive_class(truth)
    actual = (truth == positive).to_numpy(dtype=bool)
    yes = int(actual.sum())
    counted = None if rule.metric == "accuracy" else yes
    if not 0 < yes < len(actual):
        nothing = Difference(math.nan, math.nan, math.nan, math.nan, 0, "none")
        return Compared(nothing, len(actual), yes)
    if rule.metric in predictions.FROM_PROBABILITIES:
        ours, theirs = predictions.numbers(candidate), predictions.numbers(live)
        found = _of_probabilities(rule, actual, ours, theirs)
    else:
        says, said = (predictions.said_yes(answers, positive) for answers in (candidate, live))
        found = _of_labels(rule, actual, says, said)
    return Compared(found, len(actual), counted, alike)


def _of_probabilities(rule: Rule, actual: Answers, candidate: Answers, live: Answers) -> Difference:
    if rule.metric == "roc_auc":
        return paired.areas(actual, candidate, live, rule.confidence)
    if rule.metric == "average_precision":
        return paired.average_precision(actual, candidate, live, rule.confidence)
    return paired.from_rows(rule.metric, actual.astype(float), candidate, live, rule.confidence)


def _of_labels(rule: Rule, actual: Answers, candidate: Answers, live: Answers) -> Difference:
    if rule.metric == "accuracy":
        return paired.rates(candidate == actual, live == actual, rule.confidence)
    if rule.metric == "recall":
        return paired.rates(candidate[actual], live[actual], rule.confidence)
    return paired.from_cells(rule.metric, actual, candidate, live, rule.confidence)


def _verdict(rule: Rule, compared: Compared) -> tuple[Verdict, str]:
    found = compared.difference
    if few := evaluation.too_few(compared.rows, compared.positives):
        return Verdict.INCONCLUSIVE, few
    if not (math.isfinite(found.value) and math.isfinite(found.low) and math.isfinite(found.high)):
        return Verdict.INCONCLUSIVE, "it has no value for both, since one never says yes, or the target never varies"
    if compared.alike:
        return Verdict.PASSED, ALIKE
    worst, best = sorted((found.low, found.high), key=rule.gain)
    sure = f"with {rule.confidence * 100:g} % confidence"
    margin = f"margin {rule.margin:g}"
    if found.few:
        return _verdict_on_few(rule, found, sure, margin)
    side, other = ("at least", "at most") if rule.higher_is_better else ("at most", "at least")
    if rule.gain(worst) >= -rule.margin:
        difference = f"difference {signed(found.value, rule.limit)}"
        return Verdict.PASSED, f"{difference}, {side} {signed(worst, rule.limit)} {sure}, {margin}"
    if rule.gain(best) < -rule.margin:
        return (
            Verdict.FAILED,
            f"worse beyond noise: difference {signed(found.value, rule.limit)}, {other} {signed(best, rule.limit)} "
            f"{sure}, {margin}",
        )
    between = f"between {signed(found.low, rule.limit)} and {signed(found.high, rule.limit)}"
    return Verdict.INCONCLUSIVE, f"the difference lies {between}, on both sides of the {margin}"


def _verdict_on_few(rule: Rule, found: Difference, sure: str, margin: str) -> tuple[Verdict, str]:
    """Few rows tell them apart: only the bound on how much that could ever matter decides, and never to the worse."""
    apart = f"they differ on {many(found.discordant, 'row')}"
    if found.exact and found.high <= rule.margin:
        return Verdict.PASSED, f"{apart}, which can make no more than {shown(found.high, rule.margin)} {sure}, {margin}"
    return Verdict.INCONCLUSIVE, f"{apart} only, too few to judge, at least {paired.LEAST_DISCORDANT} are needed"


def _more_than_labels(metric: str, answers: Answers) -> bool:
    """Whether equal answers mean equal models: two that differ may well agree on every label of some hundred rows."""
    if metric in metric_names.REGRESSION or metric in predictions.FROM_PROBABILITIES:
        return True
    return bool(np.issubdtype(answers.dtype, np.floating)) and not bool(np.isin(answers, (0.0, 1.0)).all())


def _number(value: float) -> str:
    return shown(value) if math.isfinite(value) else "unknown"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
