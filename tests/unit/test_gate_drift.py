"""The drift gate on frames and files: what moved, what only seems to have, and the inputs that broke first versions."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from services.errors import ArtifactUnusable, PolicyInvalid
from services.rules.domain import Component, ComponentKind, GateOutcome, Verdict
from services.rules.policy import DriftGate, parse
from services.work.gates import drift
from services.work.gates.drift import Rule
from services.work.gates.task import GateTask

LIVE = "flight-delay/3"


def judged(frame: pd.DataFrame, live: pd.DataFrame, *columns: str, **limits: float) -> GateOutcome:
    """The outcome on these columns (none named: all of the frame's), with its evidence crossing as JSON."""
    rule = Rule(**limits)
    lines = drift.compare(frame, live, columns or tuple(dict.fromkeys(frame.columns)), rule)
    outcome = drift.outcome(rule, lines, (len(frame), len(live)), LIVE)
    json.dumps(outcome.evidence, allow_nan=False)
    return outcome


def line(outcome: GateOutcome, column: str, kind: str = "") -> dict[str, Any]:
    (found,) = [
        row for row in outcome.evidence["columns"] if row["column"] == column and (not kind or row["kind"] == kind)
    ]
    return found


def normal(rows: int, mean: float = 0.0, seed: int = 1) -> pd.DataFrame:
    return pd.DataFrame({"wind": np.random.default_rng(seed).normal(mean, 1, rows)})


def letters(rows: int, shares: list[float], seed: int = 1) -> pd.DataFrame:
    names = list("abcdefgh")[: len(shares)]
    return pd.DataFrame({"carrier": np.random.default_rng(seed).choice(names, rows, p=shares)})


# Numbers


def test_numbers_that_moved_far_fail_with_distance_and_median_shift():
    outcome = judged(normal(5_000, mean=0.8), normal(5_000, seed=2))
    assert outcome.verdict is Verdict.FAILED
    found = line(outcome, "wind")
    assert (found["kind"], found["verdict"], found["n"], found["n_live"]) == ("numeric", "failed", 5_000, 5_000)
    assert found["statistic"] == pytest.approx(0.31, abs=0.03)
    assert found["median_shift"] == pytest.approx(0.8 / 1.35, abs=0.06)  # the interquartile range of a normal is 1.35
    assert found["q"] < 0.01
    assert outcome.summary.startswith("1 of 1 column moved too far: 'wind' KS distance 0.3")
    assert "5,000 training rows against 5,000 of flight-delay/3" in outcome.summary


def test_numbers_that_moved_a_little_warn_and_pass():
    outcome = judged(normal(20_000, mean=0.35), normal(20_000, seed=2))
    assert outcome.verdict is Verdict.PASSED
    assert line(outcome, "wind")["verdict"] == "warned"
    assert outcome.warnings[0].startswith("'wind' moved: KS distance 0.1")


def test_a_million_rows_with_a_shift_of_a_hundredth_of_a_deviation_pass():
    outcome = judged(normal(1_000_000, mean=0.01), normal(1_000_000, seed=2))
    assert outcome.verdict is Verdict.PASSED
    assert line(outcome, "wind")["verdict"] == "passed"
    assert line(outcome, "wind")["n"] == 1_000_000


def test_thirty_rows_without_a_shift_are_inconclusive_and_not_a_pass():
    outcome = judged(normal(30), normal(30, seed=2))
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert "too few rows for 'wind' (30 and 30 live), and 400 a side are needed" in outcome.summary


def test_a_hundred_rows_suffice_to_fail_and_twenty_nine_for_nothing():
    assert judged(normal(100, mean=2), normal(100, seed=2)).verdict is Verdict.FAILED
    assert judged(normal(29, mean=9), normal(5_000, seed=2)).verdict is Verdict.INCONCLUSIVE


def test_the_same_rows_give_the_same_answer_and_a_sample_is_seeded():
    pair = normal(60_000), normal(60_000, mean=0.1, seed=2)
    assert judged(*pair) == judged(*pair)


def test_a_table_of_fifty_quiet_columns_raises_no_alarm():
    ours, theirs = (
        pd.DataFrame(np.random.default_rng(seed).normal(size=(500, 50)), columns=[f"c{n}" for n in range(50)])
        for seed in (1, 2)
    )
    outcome = judged(ours, theirs)
    assert (outcome.verdict, outcome.warnings) == (Verdict.PASSED, ())


def test_columns_are_listed_by_what_moved_most():
    ours = pd.DataFrame(
        {"still": normal(2_000).wind, "moved": normal(2_000, 1.0).wind, "little": normal(2_000, 0.2).wind}
    )
    theirs = pd.DataFrame({name: normal(2_000, seed=9).wind for name in ours})
    outcome = judged(ours, theirs)
    assert [row["column"] for row in outcome.evidence["columns"]] == ["moved", "little", "still"]


def test_the_limits_are_those_of_the_policy():
    pair = normal(5_000, mean=0.35), normal(5_000, seed=2)
    assert judged(*pair).verdict is Verdict.PASSED
    assert judged(*pair, fail=0.12).verdict is Verdict.FAILED


# Categories


def test_categories_that_moved_far_fail_and_a_little_warn():
    even, tilted, far = [0.25] * 4, [0.37, 0.23, 0.2, 0.2], [0.55, 0.15, 0.15, 0.15]
    assert judged(letters(4_000, far), letters(4_000, even, 2)).verdict is Verdict.FAILED
    outcome = judged(letters(4_000, tilted), letters(4_000, even, 2))
    assert outcome.verdict is Verdict.PASSED
    assert "total variation 0.1" in outcome.warnings[0]


def test_one_row_of_a_new_category_warns_by_its_name_and_passes():
    ours = pd.concat([letters(2_000, [0.5, 0.5]), pd.DataFrame({"carrier": ["ZZ "]})])
    outcome = judged(ours, letters(2_000, [0.5, 0.5], 2))
    assert outcome.verdict is Verdict.PASSED
    assert outcome.warnings == ("'carrier' has a category that the live data does not have, in 1 row: 'ZZ '.",)


def test_many_rare_categories_are_pooled_and_noise_raises_no_alarm():
    chance = np.random.default_rng(3)
    shares = 1 / np.arange(1, 401)
    names = [f"dest-{n}" for n in range(400)]
    ours, theirs = (pd.DataFrame({"dest": chance.choice(names, 1_500, p=shares / shares.sum())}) for _ in range(2))
    outcome = judged(ours, theirs)
    assert outcome.verdict is Verdict.PASSED
    assert line(outcome, "dest")["statistic"] > 0.1  # of so many rare ones, by chance alone
    assert line(outcome, "dest")["verdict"] == "passed"


# Nulls


def test_a_column_that_became_all_null_fails():
    outcome = judged(pd.DataFrame({"wind": [np.nan] * 1_000}), normal(1_000))
    assert outcome.verdict is Verdict.FAILED
    assert line(outcome, "wind")["kind"] == "nulls"
    assert line(outcome, "wind")["statistic"] == 1
    assert "'wind' difference of null shares 1.000" in outcome.summary


@pytest.mark.parametrize(("share", "verdict"), [(0.01, "passed"), (0.05, "warned"), (0.15, "failed")])
def test_more_nulls_than_before_warn_and_then_fail(share: float, verdict: str):
    ours = normal(4_000)
    ours.loc[: int(4_000 * share) - 1, "wind"] = np.nan
    assert line(judged(ours, normal(4_000, seed=2)), "wind", "nulls")["verdict"] == verdict


def test_a_column_that_is_null_on_both_sides_did_not_move():
    empty = pd.DataFrame({"gust": [None] * 600, "wind": normal(600).wind})
    outcome = judged(empty, empty)
    assert outcome.verdict is Verdict.PASSED
    assert line(outcome, "gust")["p"] == 1


# Inputs that broke first versions


def test_a_constant_column_passes_and_another_constant_fails():
    ours, same, other = (pd.DataFrame({"year": [year] * 800}) for year in (2013, 2013, 2014))
    assert judged(ours, same).verdict is Verdict.PASSED
    outcome = judged(ours, other)
    assert outcome.verdict is Verdict.FAILED
    assert line(outcome, "year")["median_shift"] is None  # no range to measure it in


def test_precipitation_that_is_mostly_zero_is_judged_by_how_much_of_it_is_zero():
    chance = np.random.default_rng(4)

    def rain(share: float) -> pd.DataFrame:
        return pd.DataFrame({"precip": np.where(chance.random(5_000) < share, chance.exponential(1, 5_000), 0.0)})

    assert judged(rain(0.05), rain(0.05)).verdict is Verdict.PASSED
    outcome = judged(rain(0.40), rain(0.05))
    assert outcome.verdict is Verdict.FAILED
    assert line(outcome, "precip")["median_shift"] is None


def test_one_infinity_is_told_and_moves_nothing():
    ours = normal(1_000)
    ours.loc[0, "wind"] = np.inf
    outcome = judged(ours, normal(1_000, seed=2))
    assert outcome.verdict is Verdict.PASSED
    assert outcome.warnings == ("'wind' has 1 infinite value.",)


def test_identifiers_are_not_judged_and_named():
    ours = pd.DataFrame({"id": range(1_000), "tail": [f"N{n}" for n in range(1_000)], "wind": normal(1_000).wind})
    theirs = pd.DataFrame(
        {"id": range(5_000, 6_000), "tail": [f"N{n}" for n in range(5_000, 6_000)], "wind": normal(1_000, seed=2).wind}
    )
    outcome = judged(ours, theirs)
    assert outcome.verdict is Verdict.PASSED
    assert {line(outcome, name)["verdict"] for name in ("id", "tail")} == {"not judged"}
    assert "'id' (every value is another, as in an identifier)" in outcome.warnings[0]


def test_timestamps_a_year_apart_are_shown_and_not_judged():
    ours, theirs = (
        pd.DataFrame({"at": pd.date_range(f"{year}-01-01", periods=500, freq="h", tz=zone), "wind": normal(500).wind})
        for year, zone in ((2014, None), (2013, "UTC"))
    )
    outcome = judged(ours, theirs)
    assert outcome.verdict is Verdict.PASSED
    assert line(outcome, "at")["note"] == "365 days later"


def test_list_cells_are_not_judged_and_break_nothing():
    ours = pd.DataFrame({"stops": [["EWR", "JFK"]] * 500, "wind": normal(500).wind})
    outcome = judged(ours, ours)
    assert outcome.verdict is Verdict.PASSED
    assert outcome.warnings == ("Not judged: 'stops' (lists, or values of no one type).",)


def test_nothing_that_can_be_judged_is_inconclusive():
    ours = pd.DataFrame({"stops": [["EWR", "JFK"]] * 500})
    assert judged(ours, ours).verdict is Verdict.INCONCLUSIVE


def test_a_nullable_boolean_is_compared_with_a_boolean():
    chance = np.random.default_rng(5)
    plain = pd.DataFrame({"late": chance.random(2_000) < 0.3})
    nullable = pd.DataFrame({"late": pd.array(chance.random(2_000) < 0.3, dtype="boolean")})
    nullable.loc[0, "late"] = pd.NA
    outcome = judged(nullable, plain)
    assert outcome.verdict is Verdict.PASSED
    assert outcome.warnings == ()
    assert line(outcome, "late", "categorical")["statistic"] < 0.05


def test_integers_that_became_floats_are_numbers_all_the_same():
    hours = np.random.default_rng(6).integers(0, 24, 1_000)
    assert judged(pd.DataFrame({"hour": hours.astype(float)}), pd.DataFrame({"hour": hours})).verdict is Verdict.PASSED


def test_numbers_that_became_text_fail_and_say_so():
    outcome = judged(pd.DataFrame({"hour": ["1", "2"] * 300}), pd.DataFrame({"hour": [1, 2] * 300}))
    assert outcome.verdict is Verdict.FAILED
    assert "'hour' held integers live, and holds text now" in outcome.summary


def test_a_doubled_column_cannot_be_judged():
    doubled = pd.DataFrame(np.ones((500, 2)), columns=["wind", "wind"])
    outcome = judged(doubled, normal(500))
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert "'wind' stands more than once in the training data" in outcome.summary


def test_a_renamed_column_is_missing_and_a_new_one_warns():
    ours, theirs = normal(500).assign(fare=1.0), normal(500, seed=2).rename(columns={"wind": "wind "})
    outcome = judged(ours, theirs, "wind", "wind ")
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert "'wind ' is not in the training data, and the live data has it" in outcome.summary
    assert "'wind' is new: the live data does not have it." in outcome.warnings


# Files


def silent(_text: str) -> None:
    """Nobody watches."""


def dataset(folder: Path, name: str, frame: pd.DataFrame) -> Component:
    path = folder / f"{name}.parquet"
    frame.to_parquet(path)
    digest = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    return Component(ComponentKind.DATASET, name, uri=str(path), digest=digest, details={"context": "training"})


def a_task(ours: Component | None, theirs: Component | None, **changes: Any) -> GateTask:
    definition = DriftGate(kind="drift", **changes).model_dump(mode="json")
    data = {"training": {"input": "training", "path": ""}, "target": "late", "features": ["wind"]}
    live = (theirs,) if theirs else None
    return GateTask(
        "drift",
        definition,
        "flight-delay",
        (ours,) if ours else (),
        data=data,
        live=live,
        live_ref=LIVE if live else "",
    )


def test_with_nothing_live_it_passes_and_warns_that_nothing_was_compared(tmp_path: Path):
    outcome = drift.judge(a_task(dataset(tmp_path, "may", normal(500)), None), silent)
    assert outcome.verdict is Verdict.PASSED
    assert outcome.warnings == ("Nothing to compare with.",)


def test_features_and_target_are_compared_unless_columns_are_named(tmp_path: Path):
    ours = dataset(tmp_path, "may", normal(900, 2).assign(late=[0, 1] * 450, other=1))
    theirs = dataset(tmp_path, "april", normal(900, seed=2).assign(late=[0, 1] * 450, other=9))
    outcome = drift.judge(a_task(ours, theirs), silent)
    assert outcome.verdict is Verdict.FAILED
    assert {row["column"] for row in outcome.evidence["columns"]} == {"wind", "late"}
    assert outcome.data_digest.startswith("sha256:")
    assert drift.judge(a_task(ours, theirs, columns=("late",)), silent).verdict is Verdict.PASSED


def test_the_same_data_passes_without_being_read(tmp_path: Path):
    same = dataset(tmp_path, "may", normal(500))
    Path(same.uri).unlink()
    outcome = drift.judge(a_task(same, same), silent)
    assert outcome.verdict is Verdict.PASSED
    assert "the same data as flight-delay/3" in outcome.summary


def test_live_data_that_is_gone_cannot_be_judged_and_says_what_to_do(tmp_path: Path):
    ours, theirs = dataset(tmp_path, "may", normal(500)), dataset(tmp_path, "april", normal(500, seed=2))
    Path(theirs.uri).unlink()
    with pytest.raises(ArtifactUnusable, match="The data of flight-delay/3, which is live, cannot be compared") as told:
        drift.judge(a_task(ours, theirs), silent)
    assert "Put the recorded file back" in told.value.remedy


def test_a_live_bundle_without_known_data_is_inconclusive(tmp_path: Path):
    prompt = Component(ComponentKind.PROMPT, "notice")
    outcome = drift.judge(a_task(dataset(tmp_path, "may", normal(500)), prompt), silent)
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert "of flight-delay/3, which is live" in outcome.summary


# The policy

POLICY = """
[application]
name = "flight-delay"
[components]
model = "flight-delay"
[gates.drift]
kind = "drift"
"""


def test_the_designs_gate_has_the_limits_of_the_field_notes():
    gate = parse(POLICY + 'mode = "shadow"\n').gates["drift"]
    assert isinstance(gate, DriftGate)
    assert (gate.enforcing, gate.compares_with_live) == (False, True)
    assert (gate.warn, gate.fail, gate.nulls_warn, gate.nulls_fail, gate.alpha) == (0.10, 0.20, 0.02, 0.10, 0.01)


def test_a_limit_changes_what_is_judged_and_a_mode_does_not():
    plain, wider, shadow = (parse(POLICY + more) for more in ("", "fail = 0.3\n", 'mode = "shadow"\n'))
    assert plain.gate_digest("drift") == shadow.gate_digest("drift") != wider.gate_digest("drift")


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ("fail = 0.05", "gates.drift.fail: 0.05 lies below warn = 0.1; what fails would never have warned"),
        ("nulls_fail = 0.01", "gates.drift.nulls_fail: 0.01 lies below nulls_warn = 0.02"),
        ('columns = ["wind", "wind"]', "gates.drift.columns: wind stands there twice"),
        ("alpha = 0", "gates.drift.alpha: input should be greater than 0, but it is 0"),
        ("margin = 0.1", "gates.drift.margin: there is no such key here"),
    ],
)
def test_a_mistake_is_told_by_its_key_path(line: str, mistake: str):
    with pytest.raises(PolicyInvalid) as told:
        parse(POLICY + line)
    assert len(told.value.mistakes) == 1
    assert told.value.mistakes[0].startswith(mistake)
