"""The evaluation gate's statistics and verdicts, on arrays and frames; real models are judged in the runner's tests."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from services.errors import ArtifactUnusable, BadInput
from services.rules.domain import Component, ComponentKind, GateOutcome, Verdict
from services.work.gates import evaluation, intervals, tables
from services.work.gates.evaluation import Rule
from services.work.gates.task import GateTask


def scored(rows: int, strength: float = 0.8, seed: int = 1) -> tuple[pd.Series, np.ndarray]:
    """A target and probabilities that know something of it; the area under the curve is .71 at strength .8."""
    chance = np.random.default_rng(seed)
    truth = chance.random(rows) < 0.25
    return pd.Series(truth.astype(int), name="late"), 1 / (1 + np.exp(1 - strength * truth - chance.normal(0, 1, rows)))


def verdict_on(rule: Rule, truth: pd.Series, predicted: np.ndarray, logged: float | None = None) -> GateOutcome:
    outcome = evaluation.judge_measured(rule, evaluation.measure(rule, truth, np.asarray(predicted)), logged)
    json.dumps(outcome.evidence, allow_nan=False)
    return outcome


# The bounds


def test_every_metric_is_what_scikit_learn_says_it_is():
    truth, probability = scored(5_000)
    said = (probability >= 0.5).astype(int)
    expected = {
        "roc_auc": reference.roc_auc_score(truth, probability),
        "average_precision": reference.average_precision_score(truth, probability),
        "log_loss": reference.log_loss(truth, probability),
        "brier": reference.brier_score_loss(truth, probability),
        "accuracy": reference.accuracy_score(truth, said),
        "balanced_accuracy": reference.balanced_accuracy_score(truth, said),
        "f1": reference.f1_score(truth, said),
        "precision": reference.precision_score(truth, said),
        "recall": reference.recall_score(truth, said),
    }
    for metric, value in expected.items():
        interval = evaluation.measure(Rule(metric, 0.5), truth, probability).interval
        assert interval.value == pytest.approx(value, abs=1e-9), metric
        assert interval.low < interval.value < interval.high, metric


def test_every_regression_metric_is_what_scikit_learn_says_it_is():
    chance = np.random.default_rng(3)
    truth = pd.Series(chance.normal(1e6, 10, 4_000))
    predicted = truth.to_numpy() + chance.normal(0, 4, 4_000)
    expected = {
        "mae": reference.mean_absolute_error(truth, predicted),
        "rmse": reference.root_mean_squared_error(truth, predicted),
        "r2": reference.r2_score(truth, predicted),
    }
    for metric, value in expected.items():
        interval = evaluation.measure(Rule(metric, 5), truth, predicted).interval
        assert interval.value == pytest.approx(value, rel=1e-6), metric
        assert interval.low < interval.value < interval.high, metric


def test_tied_probabilities_count_once_as_they_do_in_scikit_learn():
    truth, probability = scored(2_000)
    coarse = np.round(probability, 1)
    for metric, of in (
        ("roc_auc", reference.roc_auc_score),
        ("average_precision", reference.average_precision_score),
    ):
        interval = evaluation.measure(Rule(metric, 0.5), truth, coarse).interval
        assert interval.value == pytest.approx(of(truth, coarse), abs=1e-9)


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "f1", "brier"])
def test_the_lower_bound_holds_about_as_often_as_it_says(metric):
    rule = Rule(metric, 0.5)
    whole = evaluation.measure(rule, *scored(100_000, seed=99)).interval.value
    trials = 100
    held = sum(evaluation.measure(rule, *scored(500, seed=seed)).interval.low <= whole for seed in range(trials))
    assert 0.89 <= held / trials <= 0.995


def test_wilson_gives_the_textbook_bounds_and_holds_at_the_edges():
    interval = intervals.rate(80, 100, 0.975)  # two-sided 95 %
    assert (interval.low, interval.high) == (pytest.approx(0.7112, abs=1e-4), pytest.approx(0.8666, abs=1e-4))
    assert intervals.rate(300, 300, 0.95).low < 1
    assert intervals.rate(0, 300, 0.95).low == 0


def test_delong_agrees_with_a_bootstrap():
    truth, probability = scored(1_500)
    actual = truth.to_numpy(dtype=bool)
    interval = intervals.roc_auc(actual, probability, 0.95)
    chance = np.random.default_rng(5)
    drawn = []
    for _ in range(300):
        rows = chance.integers(0, 1_500, 1_500)
        drawn.append(reference.roc_auc_score(truth.to_numpy()[rows], probability[rows]))
    assert interval.low == pytest.approx(np.quantile(drawn, 0.05), abs=0.006)
    assert interval.high == pytest.approx(np.quantile(drawn, 0.95), abs=0.006)


def test_a_perfect_separation_is_not_certainty():
    truth = np.repeat([True, False], [60, 400])
    assert 0.9 < intervals.roc_auc(truth, truth.astype(float), 0.95).low < 1


def test_the_same_rows_give_the_same_bounds():
    truth, probability = scored(3_000)
    for metric in ("average_precision", "brier", "f1", "log_loss"):
        first, second = (evaluation.measure(Rule(metric, 0.5), truth, probability) for _ in range(2))
        assert first == second


def test_a_million_rows_are_bounded_in_seconds():
    truth, probability = scored(1_000_000)
    interval = evaluation.measure(Rule("roc_auc", 0.5), truth, probability).interval
    assert interval.high - interval.low < 0.004


# The verdicts


def test_a_bound_above_the_floor_passes_with_one_sentence_of_numbers():
    truth, probability = scored(18_204)
    outcome = verdict_on(Rule("roc_auc", 0.68), truth, probability, logged=0.9)
    value, low = outcome.evidence["value"], outcome.evidence["low"]
    assert outcome.verdict is Verdict.PASSED
    assert outcome.summary == (
        f"roc_auc {value:.3f} on 18,204 held-out rows; at least {low:.3f} with 95 % confidence, limit 0.68."
    )
    assert outcome.evidence["source"] == "measured on 18,204 held-out rows"
    assert outcome.evidence["positives"] == int(truth.sum())
    assert outcome.evidence["method"] == "DeLong"


def test_an_interval_wholly_below_the_floor_fails():
    outcome = verdict_on(Rule("roc_auc", 0.80), *scored(18_204))
    assert outcome.verdict is Verdict.FAILED
    assert "; at most 0.7" in outcome.summary


@pytest.mark.parametrize("shift", [-0.005, 0.005])
def test_a_limit_inside_the_interval_is_inconclusive_whichever_side_the_point_lies_on(shift: float):
    truth, probability = scored(1_000)
    point = evaluation.measure(Rule("roc_auc", 0.5), truth, probability).interval.value
    outcome = verdict_on(Rule("roc_auc", point + shift), truth, probability)
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert outcome.evidence["rows_to_decide"] > 10_000
    assert f"About {outcome.evidence['rows_to_decide']:,} rows would decide." in outcome.summary


def test_the_rows_said_to_decide_do_decide():
    truth, probability = scored(1_000)
    limit = evaluation.measure(Rule("roc_auc", 0.5), truth, probability).interval.value - 0.02
    needed = verdict_on(Rule("roc_auc", limit), truth, probability).evidence["rows_to_decide"]
    copies = math.ceil(needed / 1_000)
    again = verdict_on(
        Rule("roc_auc", limit), pd.concat([truth] * copies, ignore_index=True), np.tile(probability, copies)
    )
    assert again.verdict is Verdict.PASSED


def test_where_less_is_better_the_upper_bound_decides():
    truth, probability = scored(4_000)
    assert verdict_on(Rule("brier", 0.30), truth, probability).verdict is Verdict.PASSED
    assert verdict_on(Rule("brier", 0.05), truth, probability).verdict is Verdict.FAILED
    assert "at most" in verdict_on(Rule("log_loss", 2.0), truth, probability).summary


def test_a_number_shows_as_many_digits_as_tell_it_from_its_limit():
    assert evaluation.shown(0.7) == "0.700"
    assert evaluation.shown(0.67972, 0.68) == "0.6797"
    assert evaluation.shown(0.68, 0.68) == "0.680"
    assert [evaluation.shown(value) for value in (12345.6, 123.45, 0.0004)] == ["12,346", "123.5", "0.00040"]


def test_thirty_rows_are_inconclusive_however_good_they_are():
    truth = pd.Series([0, 1] * 15)
    outcome = verdict_on(Rule("accuracy", 0.1), truth, truth.to_numpy())
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert outcome.summary == "accuracy 1.000 on 30 held-out rows: too few to judge, at least 200 are needed."


@pytest.mark.parametrize(
    ("positives", "said"), [(49, "only 49 positives"), (0, "only 0 positives"), (960, "only 40 neg")]
)
def test_too_few_of_a_class_are_inconclusive(positives: int, said: str):
    truth = pd.Series([1] * positives + [0] * (1000 - positives))
    outcome = verdict_on(Rule("roc_auc", 0.1), truth, np.linspace(1, 0, 1000))
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert said in outcome.summary


def test_precision_of_a_model_that_never_says_yes_is_unknown():
    truth, probability = scored(1_000)
    outcome = verdict_on(Rule("precision", 0.5), truth, probability * 0.1)
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert outcome.evidence["value"] is None


def test_a_constant_target_has_no_r2():
    truth = pd.Series(np.full(500, 3.0))
    assert verdict_on(Rule("r2", 0.5), truth, np.full(500, 3.1)).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("labels", [["no", "yes"], [False, True], [-1, 1], [0.0, 1.0]])
def test_the_second_label_in_order_is_the_positive_one(labels: list):
    truth, probability = scored(2_000)
    named = truth.map(dict(enumerate(labels)))
    expected = evaluation.measure(Rule("roc_auc", 0.5), truth, probability)
    assert evaluation.measure(Rule("roc_auc", 0.5), named, probability) == expected
    said = np.array(labels)[(probability >= 0.5).astype(int)]
    of_labels = evaluation.measure(Rule("f1", 0.5), named, said)
    assert of_labels == evaluation.measure(Rule("f1", 0.5), truth, probability)


def test_accuracy_counts_any_number_of_classes_and_the_others_refuse_more_than_two():
    truth = pd.Series(["a", "b", "c"] * 200)
    outcome = verdict_on(Rule("accuracy", 0.9), truth, truth.to_numpy())
    assert outcome.verdict is Verdict.PASSED
    with pytest.raises(BadInput, match="the target has 3"):
        evaluation.measure(Rule("f1", 0.9), truth, truth.to_numpy())


def test_predictions_that_are_no_numbers_or_not_one_a_row_cannot_be_judged():
    truth, probability = scored(500)
    probability[7] = np.nan
    with pytest.raises(ArtifactUnusable, match="1 of 500 predictions are not finite"):
        evaluation.measure(Rule("roc_auc", 0.5), truth, probability)
    with pytest.raises(ArtifactUnusable, match="answered 499 values for 500 rows"):
        evaluation.measure(Rule("roc_auc", 0.5), truth, probability[:499])
    with pytest.raises(BadInput, match="needs a number as target"):
        evaluation.measure(Rule("mae", 0.5), truth.map({0: "no", 1: "yes"}), probability)


# The logged value


def a_task(*components: Component, logged: float | None = None, **changes: object) -> GateTask:
    definition = {"kind": "evaluation", "metric": "roc_auc", "min": 0.68, "source": "data", "accept_logged": False}
    data = {"evaluation": {"input": "evaluation", "path": ""}, "target": "late", "features": ["hour"]}
    metrics = {} if logged is None else {"roc_auc": logged}
    return GateTask("accuracy", {**definition, **changes}, "flight-delay", components, metrics, data)


def silent(_text: str) -> None:
    """Nobody watches."""


def test_changing_a_logged_metric_by_a_tenth_changes_no_verdict():
    truth, probability = scored(4_000)
    rule = Rule("roc_auc", 0.68)
    outcomes = [verdict_on(rule, truth, probability, logged=logged) for logged in (0.61, 0.71, 0.81, None)]
    assert {outcome.verdict for outcome in outcomes} == {Verdict.PASSED}
    assert len({outcome.summary for outcome in outcomes}) == 1
    assert [outcome.evidence["logged"] for outcome in outcomes] == [0.61, 0.71, 0.81, None]


@pytest.mark.parametrize("changes", [{"source": "run"}, {}])
def test_without_data_a_logged_value_is_inconclusive_unless_accepted(changes: dict):
    outcome = evaluation.judge(a_task(logged=0.9, **changes), silent)
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert outcome.evidence["source"] == "logged by the run"
    accepted = evaluation.judge(a_task(logged=0.9, accept_logged=True, **changes), silent)
    assert accepted.verdict is Verdict.PASSED
    assert "as the run logged it" in accepted.summary
    assert accepted.warnings
    assert evaluation.judge(a_task(logged=0.6, accept_logged=True, **changes), silent).verdict is Verdict.FAILED


def test_neither_data_nor_a_logged_value_is_inconclusive():
    outcome = evaluation.judge(a_task(accept_logged=True), silent)
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert "the run logged no roc_auc" in outcome.summary


@pytest.mark.parametrize("logged", [math.inf, math.nan, 1.7976931348623157e308])
def test_a_logged_value_that_is_not_finite_is_refused(logged: float):
    with pytest.raises(BadInput, match="not a finite number"):
        evaluation.judge(a_task(logged=logged, source="run", accept_logged=True), silent)


# The held-out data


def held_out(frame: pd.DataFrame, *inputs: dict, target: str = "late") -> tuple[pd.Series, pd.DataFrame, list[str]]:
    model = Component(ComponentKind.MODEL, "m", "1", details={"signature": {"inputs": list(inputs)}})
    task = a_task(model)
    return evaluation.held_out(
        tables.Table("evaluation", "june", frame, ""), replace(task, data={**task.data, "target": target})
    )


def test_rows_without_a_target_are_left_out_and_said_so():
    truth, features, warnings = held_out(pd.DataFrame({"hour": [1, 2, 3], "late": [0, None, 1], "other": 1}))
    assert (len(truth), list(features.columns), len(features)) == (2, ["hour"], 2)
    assert warnings == ["Left out: 1 row without a target."]


def test_a_missing_target_or_feature_cannot_be_judged_and_says_what_is_there():
    with pytest.raises(BadInput, match=r"lacks its target: 'late'. It has 'hour'"):
        held_out(pd.DataFrame({"hour": [1]}))
    with pytest.raises(BadInput, match=r"lacks 1 column: 'hour'. It has 'late', 'hour '"):
        held_out(pd.DataFrame({"late": [1], "hour ": [1]}))


def test_a_target_without_any_value_cannot_be_judged():
    with pytest.raises(BadInput, match="has no value in any held-out row"):
        held_out(pd.DataFrame({"hour": [1, 2], "late": [None, None]}))


def test_a_doubled_column_cannot_be_judged():
    frame = pd.DataFrame([[1, 2, 0]], columns=["hour", "hour", "late"])
    with pytest.raises(BadInput, match="'hour' twice"):
        held_out(frame)


def test_a_model_that_asks_for_a_column_the_policy_does_not_name_cannot_be_judged():
    frame = pd.DataFrame({"hour": [1], "late": [0], "dep_delay": [5]})
    with pytest.raises(BadInput, match="The model takes 'dep_delay'"):
        held_out(frame, {"name": "hour", "type": "long"}, {"name": "dep_delay", "type": "double"})
    held_out(frame, {"name": "hour", "type": "long"}, {"name": "dep_delay", "type": "double", "required": False})


def test_features_get_the_width_that_the_signature_names_where_nothing_is_lost():
    frame = pd.DataFrame({"hour": [1, 2], "late": [0, 1]})
    assert held_out(frame, {"name": "hour", "type": "integer"})[1]["hour"].dtype == np.int32
    assert held_out(frame, {"name": "hour", "type": "double"})[1]["hour"].dtype == np.float64
    large = frame.assign(hour=[1, 2**40])
    assert held_out(large, {"name": "hour", "type": "integer"})[1]["hour"].dtype == np.int64


def test_no_rows_at_all_cannot_be_judged(tmp_path: Path):
    path = tmp_path / "june.parquet"
    pd.DataFrame({"hour": [], "late": []}).to_parquet(path)
    dataset = Component(ComponentKind.DATASET, "june", uri=path.as_uri(), details={"context": "evaluation"})
    with pytest.raises(ArtifactUnusable, match="has no rows"):
        evaluation.judge(a_task(dataset), silent)
