"""The baseline gate's statistics and verdicts on arrays; real models are compared in the integration tests."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from services.errors import ArtifactUnusable, BadInput, PolicyInvalid
from services.rules.domain import Component, ComponentKind, GateOutcome, Verdict
from services.rules.policy import BaselineGate, parse
from services.work.gates import baseline, evaluation, paired, tables
from services.work.gates.baseline import Rule
from services.work.gates.task import GateTask

LIVE = "flight-delay/3"


def scored(rows: int, candidate: float = 0.8, live: float = 0.8, seed: int = 1, apart: float = 0.3) -> tuple:
    """A target and two models' probabilities, which share most of their noise; a larger strength knows more."""
    chance = np.random.default_rng(seed)
    truth = chance.random(rows) < 0.25
    shared = chance.normal(0, 1, rows)

    def model(strength: float) -> np.ndarray:
        return 1 / (1 + np.exp(1 - strength * truth - shared - chance.normal(0, apart, rows)))

    return pd.Series(truth.astype(int), name="late"), model(candidate), model(live)


def verdict_on(rule: Rule, truth: pd.Series, candidate: Any, live: Any) -> GateOutcome:
    outcome = baseline.outcome(rule, baseline.compare(rule, truth, np.asarray(candidate), np.asarray(live)), LIVE)
    json.dumps(outcome.evidence, allow_nan=False)
    return outcome


# The differences and their bounds


def test_every_difference_is_that_of_scikit_learns_two_values():
    truth, candidate, live = scored(4_000, candidate=1.0)
    expected = {
        "roc_auc": lambda p: reference.roc_auc_score(truth, p),
        "average_precision": lambda p: reference.average_precision_score(truth, p),
        "log_loss": lambda p: reference.log_loss(truth, p),
        "brier": lambda p: reference.brier_score_loss(truth, p),
        "accuracy": lambda p: reference.accuracy_score(truth, p >= 0.5),
        "balanced_accuracy": lambda p: reference.balanced_accuracy_score(truth, p >= 0.5),
        "f1": lambda p: reference.f1_score(truth, p >= 0.5),
        "precision": lambda p: reference.precision_score(truth, p >= 0.5),
        "recall": lambda p: reference.recall_score(truth, p >= 0.5),
    }
    for metric, measure in expected.items():
        found = baseline.compare(Rule(metric, 0.01), truth, candidate, live).difference
        assert found.candidate == pytest.approx(measure(candidate), abs=1e-9), metric
        assert found.live == pytest.approx(measure(live), abs=1e-9), metric
        assert found.low < found.value < found.high, metric


def test_every_regression_difference_is_that_of_scikit_learns_two_values():
    chance = np.random.default_rng(3)
    truth = pd.Series(chance.normal(150, 40, 3_000), name="air_time")
    candidate, live = (truth.to_numpy() + chance.normal(0, spread, 3_000) for spread in (9, 10))
    for metric, measure in {
        "mae": reference.mean_absolute_error,
        "rmse": reference.root_mean_squared_error,
        "r2": reference.r2_score,
    }.items():
        found = baseline.compare(Rule(metric, 0.5), truth, candidate, live).difference
        assert found.value == pytest.approx(measure(truth, candidate) - measure(truth, live), abs=1e-9), metric
        assert found.low < found.value < found.high, metric


def test_agresti_mins_interval_is_the_textbooks():
    # given 14 rows won and 36 lost of 400 (Agresti and Min's adjusted Wald, one half added to each cell)
    candidate, live = np.zeros(400, bool), np.zeros(400, bool)
    candidate[:14], live[14:50] = True, True
    found = paired.rates(candidate, live, 0.975)
    centre, spread = (14.5 - 36.5) / 402, np.sqrt(51 - 22**2 / 402) / 402
    assert (found.low, found.high) == (
        pytest.approx(centre - 1.96 * spread, abs=1e-4),
        pytest.approx(centre + 1.96 * spread, abs=1e-4),
    )
    assert (found.discordant, found.method) == (50, "Agresti-Min")


def test_delongs_bounds_agree_with_a_bootstrap_of_pairs():
    truth, candidate, live = scored(1_500, candidate=0.9)
    found = paired.areas(truth.to_numpy(bool), candidate, live, 0.95)
    chance, drawn = np.random.default_rng(5), []
    for _ in range(400):
        rows = chance.integers(0, 1_500, 1_500)
        score = reference.roc_auc_score
        drawn.append(score(truth.to_numpy()[rows], candidate[rows]) - score(truth.to_numpy()[rows], live[rows]))
    assert found.low == pytest.approx(np.quantile(drawn, 0.05), abs=0.004)
    assert found.high == pytest.approx(np.quantile(drawn, 0.95), abs=0.004)


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "f1", "brier"])
def test_the_lower_bound_holds_about_as_often_as_it_says(metric: str):
    rule = Rule(metric, 0.01)
    whole = baseline.compare(rule, *scored(200_000, candidate=0.9, seed=99)).difference.value
    trials = 100
    held = sum(
        baseline.compare(rule, *scored(600, candidate=0.9, seed=seed)).difference.low <= whole for seed in range(trials)
    )
    assert 0.89 <= held / trials <= 0.995


def test_pairs_know_more_than_two_intervals_would():
    truth, candidate, live = scored(4_000, apart=0.1)
    found = paired.areas(truth.to_numpy(bool), candidate, live, 0.95)
    alone = evaluation.measure(evaluation.Rule("roc_auc", 0.5), truth, candidate).interval
    assert found.high - found.low < (alone.high - alone.low) / 3


def test_the_same_rows_give_the_same_bounds():
    pair = scored(1_000)
    for metric in ("f1", "brier", "average_precision"):
        assert baseline.compare(Rule(metric, 0.01), *pair) == baseline.compare(Rule(metric, 0.01), *pair)


# The verdicts


def test_an_equal_model_passes_where_there_are_rows_enough():
    outcome = verdict_on(Rule("roc_auc", 0.01), *scored(8_000))
    assert outcome.verdict is Verdict.PASSED
    assert outcome.summary.startswith("roc_auc 0.7")
    assert "live (flight-delay/3) on the same 8,000 held-out rows; difference " in outcome.summary
    assert "with 95 % confidence, margin 0.01." in outcome.summary
    evidence = outcome.evidence
    assert (evidence["live"], evidence["n"], evidence["margin"], evidence["method"]) == (
        LIVE,
        8_000,
        0.01,
        "DeLong, paired",
    )
    assert evidence["low"] < evidence["difference"] < evidence["high"]
    assert evidence["discordant"] == 8_000


def test_a_model_that_is_worse_beyond_noise_fails():
    outcome = verdict_on(Rule("roc_auc", 0.01), *scored(8_000, candidate=0.5))
    assert outcome.verdict is Verdict.FAILED
    assert "worse beyond noise: difference -0.0" in outcome.summary
    assert "at most -0.0" in outcome.summary


@pytest.mark.parametrize("metric", ["brier", "log_loss"])
def test_where_less_is_better_a_higher_value_fails_and_a_lower_one_passes(metric: str):
    truth, _, good = scored(4_000, live=1.2)
    bad = np.clip(good + 0.25, 0, 0.99)
    assert verdict_on(Rule(metric, 0.01), truth, bad, good).verdict is Verdict.FAILED
    assert verdict_on(Rule(metric, 0.01), truth, good, bad).verdict is Verdict.PASSED


def test_regression_errors_are_compared_in_their_own_unit():
    chance = np.random.default_rng(8)
    truth = pd.Series(chance.normal(150, 40, 2_000), name="air_time")
    good, bad = (truth.to_numpy() + chance.normal(0, spread, 2_000) for spread in (8, 12))
    assert verdict_on(Rule("mae", 0.5), truth, good, bad).verdict is Verdict.PASSED
    assert verdict_on(Rule("mae", 0.5), truth, bad, good).verdict is Verdict.FAILED
    assert verdict_on(Rule("r2", 0.01), truth, bad, good).verdict is Verdict.FAILED


def test_a_margin_inside_the_interval_is_inconclusive_and_says_how_many_rows_would_decide():
    outcome = verdict_on(Rule("accuracy", 0.005), *scored(1_000, seed=4))
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert "on both sides of the margin 0.005" in outcome.summary
    assert f"About {outcome.evidence['rows_to_decide']:,} rows would decide." in outcome.summary
    # disagreement * (2.49 / margin)^2, for two that are equally good
    disagreement = outcome.evidence["discordant"] / 1_000
    assert outcome.evidence["rows_to_decide"] == pytest.approx(disagreement * (2.49 / 0.005) ** 2, rel=0.08)


def test_so_many_rows_do_decide_four_times_of_five():
    rule = Rule("accuracy", 0.02)
    needed = verdict_on(rule, *scored(600, seed=4)).evidence["rows_to_decide"]
    decided = sum(verdict_on(rule, *scored(needed, seed=seed)).verdict is Verdict.PASSED for seed in range(50))
    assert 32 <= decided <= 49


def test_an_equal_model_is_not_blocked_half_of_the_time():
    verdicts = [verdict_on(Rule("roc_auc", 0.01), *scored(8_000, seed=seed)).verdict for seed in range(20)]
    assert verdicts.count(Verdict.PASSED) >= 18
    assert Verdict.FAILED not in verdicts


def test_fewer_than_two_hundred_rows_are_inconclusive():
    outcome = verdict_on(Rule("accuracy", 0.1), *scored(199))
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert "too few to judge, at least 200 are needed" in outcome.summary


def test_fewer_than_fifty_of_a_class_are_inconclusive_but_not_for_accuracy():
    truth = pd.Series([1] * 40 + [0] * 3_960)
    chance = np.random.default_rng(2)
    candidate, live = chance.random(4_000) * 0.6, chance.random(4_000) * 0.6
    assert "only 40 positives" in verdict_on(Rule("roc_auc", 0.5), truth, candidate, live).summary
    assert verdict_on(Rule("accuracy", 0.1), truth, candidate, live).verdict is Verdict.PASSED


# Models that hardly differ


def labels(rows: int, flipped: int) -> tuple[pd.Series, np.ndarray, np.ndarray]:
    """Right answers nearly everywhere; the candidate gives another on the first `flipped` rows."""
    truth = pd.Series(np.tile([0, 1, 0, 0], rows // 4))
    live = truth.to_numpy().copy()
    live[-40:] = 1 - live[-40:]
    candidate = live.copy()
    candidate[:flipped] = 1 - candidate[:flipped]
    return truth, candidate, live


def test_fewer_than_twenty_five_rows_that_differ_are_too_few():
    outcome = verdict_on(Rule("accuracy", 0.01), *labels(1_000, 24))
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert "they differ on 24 rows only, too few to judge, at least 25 are needed" in outcome.summary
    assert verdict_on(Rule("accuracy", 0.01), *labels(1_000, 25)).verdict is Verdict.FAILED


def test_rows_that_differ_so_seldom_that_they_cannot_matter_pass():
    outcome = verdict_on(Rule("accuracy", 0.01), *labels(8_000, 10))
    assert outcome.verdict is Verdict.PASSED
    assert "they differ on 10 rows, which can make no more than 0.00" in outcome.summary


@pytest.mark.parametrize("metric", ["accuracy", "f1", "recall", "precision", "balanced_accuracy"])
def test_two_that_agree_on_every_label_pass_only_where_the_rows_are_enough_to_know(metric: str):
    assert verdict_on(Rule(metric, 0.01), *labels(200, 0)).verdict is Verdict.INCONCLUSIVE
    assert verdict_on(Rule(metric, 0.01), *labels(8_000, 0)).verdict is Verdict.PASSED


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision", "brier", "log_loss", "f1"])
def test_the_same_probabilities_on_every_row_are_the_same_model(metric: str):
    truth, candidate, _ = scored(400)
    outcome = verdict_on(Rule(metric, 0), truth, candidate, candidate.copy())
    assert outcome.verdict is Verdict.PASSED
    assert "the two models give the same answer on every row" in outcome.summary


def test_a_target_that_never_varies_cannot_be_compared_on():
    outcome = verdict_on(
        Rule("roc_auc", 0.01), pd.Series([0] * 500), np.linspace(0, 0.4, 500), np.linspace(0, 0.3, 500)
    )
    assert outcome.verdict is Verdict.INCONCLUSIVE


def test_answers_that_are_not_one_a_row_cannot_be_judged():
    truth, candidate, live = scored(500)
    with pytest.raises(ArtifactUnusable, match="answered 499 values for 500 rows"):
        verdict_on(Rule("roc_auc", 0.01), truth, candidate, live[:-1])


def test_accuracy_compares_any_number_of_classes():
    chance = np.random.default_rng(2)
    truth = pd.Series(chance.choice(list("abc"), 3_000))
    candidate, live = (np.where(chance.random(3_000) < right, truth, "a") for right in (0.5, 0.8))
    assert verdict_on(Rule("accuracy", 0.01), truth, candidate, live).verdict is Verdict.FAILED


# What needs no model


def silent(_text: str) -> None:
    """Nobody watches."""


def model(digest: str, *inputs: str) -> Component:
    signature = {"inputs": [{"name": name, "type": "double"} for name in inputs]} if inputs else None
    return Component(
        ComponentKind.MODEL, "flight-delay", "7", "models:/flight-delay/7", digest, {"signature": signature}
    )


def a_task(*components: Component, live: tuple[Component, ...] | None = None) -> GateTask:
    definition = BaselineGate(kind="baseline", metric="roc_auc", margin=0.01).model_dump(mode="json")
    data = {"evaluation": {"input": "evaluation", "path": ""}, "target": "late", "features": ["hour"]}
    return GateTask(
        "no-worse", definition, "flight-delay", components, data=data, live=live, live_ref=LIVE if live else ""
    )


def test_with_nothing_live_it_passes_and_warns_that_nothing_was_compared():
    outcome = baseline.judge(a_task(model("sha256:a")), silent)
    assert outcome.verdict is Verdict.PASSED
    assert outcome.warnings == ("Nothing to compare with.",)


def test_a_live_bundle_without_a_model_is_nothing_to_compare_with():
    outcome = baseline.judge(a_task(model("sha256:a"), live=(Component(ComponentKind.PROMPT, "notice"),)), silent)
    assert (outcome.verdict, outcome.warnings) == (Verdict.PASSED, ("Nothing to compare with.",))


def test_the_same_model_passes_without_being_loaded():
    outcome = baseline.judge(a_task(model("sha256:a"), live=(model("sha256:a"),)), silent)
    assert outcome.verdict is Verdict.PASSED
    assert outcome.summary == "The same model is live, in flight-delay/3."


def test_without_held_out_rows_it_is_inconclusive():
    outcome = baseline.judge(a_task(model("sha256:a"), live=(model("sha256:b"),)), silent)
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert "No held-out rows to compare the two on" in outcome.summary


def test_the_live_model_gets_its_own_columns_of_the_same_rows():
    frame = pd.DataFrame({"hour": [1, 2, 3], "temp": [5, 6, 7], "late": [0, None, 1]})
    task = a_task(model("sha256:a", "hour"), live=(model("sha256:b", "hour", "temp"),))
    rows = baseline.live_features(tables.Table("evaluation", "june", frame, ""), task)
    assert rows.to_dict("list") == {"hour": [1.0, 3.0], "temp": [5.0, 7.0]}


def test_a_live_model_that_takes_a_column_the_rows_lack_cannot_be_compared_with():
    frame = pd.DataFrame({"hour": [1, 2], "late": [0, 1]})
    task = a_task(model("sha256:a", "hour"), live=(model("sha256:b", "hour", "temp"),))
    with pytest.raises(BadInput, match="The live model of flight-delay/3 takes 'temp', which the held-out data lacks"):
        baseline.live_features(tables.Table("evaluation", "june", frame, ""), task)


@pytest.mark.parametrize(
    ("ours", "theirs", "warns"),
    [
        ("2026-02-28", "2026-03-31T00:00:00Z", True),
        ("2026-02-28", "2026-02-28", False),
        ("2026-03-31", "2026-02-28", False),
        ("early spring", "2026-02-28", False),
        ("", "2026-02-28", False),
    ],
)
def test_a_live_model_that_knows_later_data_may_have_seen_the_held_out_rows(ours: str, theirs: str, warns: bool):
    mine, live = (Component(ComponentKind.DATASET, "flights", details={"cutoff": cutoff}) for cutoff in (ours, theirs))
    warnings = baseline.seen_by_live(a_task(mine, live=(live,)))
    assert bool(warnings) is warns
    if warns:
        assert "trained on data up to 31 Mar 2026, later than this one (28 Feb 2026)" in warnings[0]


# The policy

POLICY = """
[application]
name = "flight-delay"
[components]
model = "flight-delay"
[data]
target = "late"
features = ["hour"]
[gates.no-worse]
kind = "baseline"
"""


def test_a_policy_names_metric_and_margin():
    gate = parse(POLICY + 'metric = "roc_auc"\nmargin = 0.01\n').gates["no-worse"]
    assert isinstance(gate, BaselineGate)
    assert (gate.margin, gate.confidence, gate.compares_with_live) == (0.01, 0.95, True)


def test_another_margin_is_another_gate():
    one, two = (parse(POLICY + f'metric = "mae"\nmargin = {margin}\n') for margin in (0, 2.5))
    assert one.gate_digest("no-worse") != two.gate_digest("no-worse")


@pytest.mark.parametrize(
    ("lines", "mistake"),
    [
        ('metric = "roc_auc"', "gates.no-worse.margin: is missing"),
        ('metric = "roc_auc"\nmargin = -0.1', "gates.no-worse.margin: -0.1 is negative"),
        ('metric = "roc_auc"\nmargin = 1.5', "gates.no-worse.margin: 1.5 lets everything pass"),
        ('metric = "speed"\nmargin = 1.5', "gates.no-worse.metric: 'speed' is not a metric Headgate computes"),
        ('metric = "mae"\nmargin = 1\nconfidence = 0.4', "gates.no-worse.confidence: input should be greater than 0.5"),
        ('metric = "mae"\nmargin = 1\nmin = 3', "gates.no-worse.min: there is no such key here"),
    ],
)
def test_a_mistake_is_told_by_its_key_path(lines: str, mistake: str):
    with pytest.raises(PolicyInvalid) as told:
        parse(POLICY + lines)
    assert len(told.value.mistakes) == 1
    assert told.value.mistakes[0].startswith(mistake)


def test_a_comparison_of_models_needs_a_model_and_its_data():
    without = POLICY.replace('target = "late"\nfeatures = ["hour"]\n', "") + 'metric = "roc_auc"\nmargin = 0.01\n'
    with pytest.raises(PolicyInvalid, match=r"gates.no-worse: needs data.target and data.features"):
        parse(without)
