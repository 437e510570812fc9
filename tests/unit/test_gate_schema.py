"""The schema gate, on real files: the inputs that broke first versions, each with its verdict."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.errors import ArtifactUnusable, BadInput
from services.rules.domain import Component, ComponentKind, GateOutcome, Verdict
from services.work import fingerprints
from services.work.gates import schema, tables
from services.work.gates.task import GateTask

FEATURES = ("hour", "carrier", "distance", "fare", "weekend", "booked")
TYPES = {
    "hour": "long",
    "carrier": "string",
    "distance": "double",
    "fare": "double",
    "weekend": "boolean",
    "booked": "datetime",
}


def flights(rows: int = 300) -> pd.DataFrame:
    chance = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "hour": chance.integers(0, 24, rows),
            "carrier": chance.choice(["UA", "AA", "B6"], rows),
            "distance": chance.normal(900, 300, rows),
            "fare": chance.normal(200, 50, rows),
            "weekend": chance.random(rows) < 0.3,
            "booked": pd.Timestamp("2013-01-01") + pd.to_timedelta(chance.integers(0, 365, rows), unit="D"),
            "late": chance.integers(0, 2, rows),
        }
    )


def dataset(path: Path, context: str = "training", digest: str | None = None) -> Component:
    return Component(
        ComponentKind.DATASET,
        f"flights-{context}",
        uri=str(path),
        digest=fingerprints.of_file(path) if digest is None else digest,
        details={"context": context},
    )


def task_on(*datasets: Component, types: dict[str, str] | None = None, data: dict | None = None, **rules) -> GateTask:
    inputs = [{"name": name, "type": kind, "required": True} for name, kind in (types or TYPES).items()]
    model = Component(ComponentKind.MODEL, "flight-delay", "1", details={"signature": {"inputs": inputs}})
    known = {
        "training": {"input": "training", "path": ""},
        "evaluation": {"input": "evaluation", "path": ""},
        "target": "late",
        "features": list(FEATURES),
    }
    definition = {"kind": "schema", "extra": "fail", "max_nulls": 0.10, **rules}
    return GateTask("schema", definition, "flight-delay", (model, *datasets), data={**known, **(data or {})})


def judged(frame: pd.DataFrame, folder: Path, **rules) -> GateOutcome:
    path = folder / "training.parquet"
    frame.to_parquet(path)
    outcome = schema.judge(task_on(dataset(path), **rules), lambda _text: None)
    json.dumps(outcome.evidence, allow_nan=False)
    return outcome


def row_of(outcome: GateOutcome, name: str) -> dict:
    return next(row for row in outcome.evidence["columns"] if row["name"] == name)


def test_data_as_declared_passes_and_every_column_is_listed(tmp_path):
    outcome = judged(flights(), tmp_path)
    assert outcome.verdict is Verdict.PASSED
    assert outcome.summary == "All 7 columns of 300 training rows are as declared."
    assert outcome.warnings == ()
    assert row_of(outcome, "hour") == {
        "data": "training",
        "name": "hour",
        "declared": "long",
        "found": "integer",
        "nulls": 0.0,
        "verdict": "passed",
        "note": "",
    }
    assert outcome.data_digest == fingerprints.of_file(tmp_path / "training.parquet")


def test_a_column_nobody_declared_fails_where_the_policy_says_so(tmp_path):
    outcome = judged(flights().assign(dep_delay=12.0), tmp_path)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.evidence["extra"] == ["dep_delay"]
    assert "obody declared 'dep_delay'" in outcome.summary


def test_a_column_nobody_declared_warns_otherwise(tmp_path):
    outcome = judged(flights().assign(dep_delay=12.0), tmp_path, extra="warn")
    assert outcome.verdict is Verdict.PASSED
    assert any("dep_delay" in warning for warning in outcome.warnings)


def test_a_model_that_takes_a_column_nobody_declared_fails_too(tmp_path):
    outcome = judged(flights(), tmp_path, types={**TYPES, "dep_delay": "double"})
    assert outcome.verdict is Verdict.FAILED
    assert "model takes 'dep_delay'" in outcome.summary


def test_a_renamed_column_fails_and_the_trailing_blank_is_named(tmp_path):
    outcome = judged(flights().rename(columns={"fare": "fare "}), tmp_path)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.evidence["missing"] == ["fare"]
    assert "has 'fare ' (mind the blank)" in outcome.summary


def test_a_missing_column_fails_by_name(tmp_path):
    outcome = judged(flights().drop(columns="late"), tmp_path)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.summary == "'late' is missing from the training data."
    assert row_of(outcome, "late")["nulls"] is None


def test_numbers_that_became_text_fail(tmp_path):
    frame = flights()
    outcome = judged(frame.assign(distance=frame["distance"].astype(str)), tmp_path)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.summary == "'distance' in the training data holds text, where the model was given floats."


def test_integers_that_became_floats_warn(tmp_path):
    outcome = judged(flights().assign(hour=7.5), tmp_path)
    assert outcome.verdict is Verdict.PASSED
    assert row_of(outcome, "hour")["verdict"] == "warned"


def test_integers_with_a_null_among_them_are_told_apart_from_floats(tmp_path):
    frame = flights()
    frame.loc[0, "hour"] = None
    assert "integers with nulls" in judged(frame, tmp_path).warnings[0]


def test_integers_where_floats_are_declared_are_fine(tmp_path):
    outcome = judged(flights().assign(fare=200), tmp_path)
    assert (outcome.verdict, outcome.warnings) == (Verdict.PASSED, ())


def test_a_nullable_boolean_is_a_boolean(tmp_path):
    frame = flights()
    values = frame["weekend"].astype("boolean")
    values.iloc[:3] = pd.NA
    assert judged(frame.assign(weekend=values), tmp_path).verdict is Verdict.PASSED


def test_a_category_is_what_its_labels_are(tmp_path):
    frame = flights()
    assert judged(frame.assign(carrier=frame["carrier"].astype("category")), tmp_path).verdict is Verdict.PASSED


def test_nulls_above_the_limit_fail_and_below_it_pass(tmp_path):
    frame = flights()
    frame.loc[:29, "carrier"] = None
    assert judged(frame, tmp_path).verdict is Verdict.PASSED
    frame.loc[:30, "carrier"] = None
    outcome = judged(frame, tmp_path)
    assert outcome.verdict is Verdict.FAILED
    assert "has 10.3 % nulls, more than 10 %" in outcome.summary


def test_a_column_that_became_all_null_fails_whatever_the_limit(tmp_path):
    outcome = judged(flights().assign(fare=np.nan), tmp_path, max_nulls=1.0)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.summary == "'fare' in the training data has no value in any row."


def test_a_constant_column_and_timestamps_a_year_apart_are_no_matter_of_schema(tmp_path):
    frame = flights()
    outcome = judged(frame.assign(distance=1.0, booked=frame["booked"] + pd.Timedelta(days=365)), tmp_path)
    assert outcome.verdict is Verdict.PASSED


def test_one_infinity_warns(tmp_path):
    frame = flights()
    frame.loc[4, "fare"] = np.inf
    outcome = judged(frame, tmp_path)
    assert outcome.verdict is Verdict.PASSED
    assert outcome.warnings == ("'fare' in the training data has 1 infinite value.",)


def test_list_cells_where_text_is_declared_fail_without_a_crash(tmp_path):
    outcome = judged(flights().assign(carrier=[["UA", "AA"]] * 300), tmp_path)
    assert outcome.verdict is Verdict.FAILED
    assert row_of(outcome, "carrier")["found"] == "other"


def test_an_identifier_column_is_only_one_more_column(tmp_path):
    frame = flights()
    identifiers = [f"flight-{number}" for number in range(len(frame))]
    assert judged(frame.assign(carrier=identifiers), tmp_path).verdict is Verdict.PASSED


def test_doubled_column_names_fail_in_csv_where_pandas_would_rename_them(tmp_path):
    path = tmp_path / "training.csv"
    frame = flights()
    pd.concat([frame, frame[["fare"]]], axis=1).to_csv(path, index=False)
    outcome = schema.judge(task_on(dataset(path)), lambda _text: None)
    assert outcome.verdict is Verdict.FAILED
    assert "'fare' stands more than once" in outcome.summary


def test_doubled_column_names_fail_in_a_frame():
    frame = pd.concat([flights(), flights()[["fare"]]], axis=1)
    table = tables.Table("training", "flights", frame, "")
    assert schema.check(table, schema.Expected(FEATURES, "late", TYPES)).failures


def test_csv_with_dates_as_text_passes_with_a_warning(tmp_path):
    path = tmp_path / "training.csv"
    flights().to_csv(path, index=False)
    outcome = schema.judge(task_on(dataset(path)), lambda _text: None)
    assert outcome.verdict is Verdict.PASSED
    assert "dates as text" in outcome.warnings[0]


def test_an_empty_frame_cannot_be_judged(tmp_path):
    with pytest.raises(ArtifactUnusable, match="has no rows"):
        judged(flights().iloc[:0], tmp_path)


@pytest.mark.parametrize("text", ["", "hour,carrier\n"])
def test_an_empty_csv_cannot_be_judged(tmp_path, text: str):
    path = tmp_path / "training.csv"
    path.write_text(text)
    with pytest.raises(ArtifactUnusable, match="has no rows"):
        schema.judge(task_on(dataset(path)), lambda _text: None)


def test_data_that_changed_since_the_bundle_was_made_cannot_be_judged(tmp_path):
    path = tmp_path / "training.parquet"
    flights().to_parquet(path)
    recorded = dataset(path)
    flights(301).to_parquet(path)
    with pytest.raises(ArtifactUnusable, match="changed since the bundle was made"):
        schema.judge(task_on(recorded), lambda _text: None)


def test_a_file_that_is_gone_cannot_be_judged(tmp_path):
    with pytest.raises(ArtifactUnusable, match="is gone"):
        schema.judge(task_on(dataset(tmp_path / "nowhere.csv", digest="")), lambda _text: None)


def test_a_pickle_is_never_opened_whatever_it_is_called(tmp_path):
    path = tmp_path / "training.parquet"
    flights().to_pickle(path)
    with pytest.raises(ArtifactUnusable, match="neither Parquet nor CSV"):
        schema.judge(task_on(dataset(path)), lambda _text: None)


def test_a_file_cut_off_in_the_middle_cannot_be_judged(tmp_path):
    path = tmp_path / "training.parquet"
    flights().to_parquet(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ArtifactUnusable, match="cannot be read"):
        schema.judge(task_on(dataset(path)), lambda _text: None)


def test_csv_rows_with_more_fields_than_the_header_cannot_be_judged(tmp_path):
    path = tmp_path / "training.csv"
    path.write_text("hour,carrier\n7,UA,1\n8,AA,2\n")
    with pytest.raises(ArtifactUnusable, match="cannot be read"):
        schema.judge(task_on(dataset(path)), lambda _text: None)


def test_doubled_column_names_fail_in_parquet_too(tmp_path):
    path = tmp_path / "training.parquet"
    frame = flights()
    arrays = [pa.array(frame[name]) for name in [*frame.columns, "fare"]]
    pq.write_table(pa.Table.from_arrays(arrays, names=[*frame.columns, "fare"]), path)
    assert "'fare' stands more than once" in schema.judge(task_on(dataset(path)), lambda _text: None).summary


def test_a_compressed_csv_is_read(tmp_path):
    path = tmp_path / "training.csv.gz"
    flights().to_csv(path, index=False)
    assert schema.judge(task_on(dataset(path)), lambda _text: None).verdict is Verdict.PASSED
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ArtifactUnusable, match="cannot be read"):
        schema.judge(task_on(dataset(path)), lambda _text: None)


def test_content_decides_and_not_the_name(tmp_path):
    path = tmp_path / "training.csv"
    flights().to_parquet(path)
    assert schema.judge(task_on(dataset(path)), lambda _text: None).verdict is Verdict.PASSED


def test_without_training_data_the_answer_is_dont_know(tmp_path):
    outcome = schema.judge(task_on(), lambda _text: None)
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert "no dataset with the context 'training'" in outcome.summary


def test_two_datasets_of_one_context_are_not_guessed_between(tmp_path):
    path = tmp_path / "training.parquet"
    flights().to_parquet(path)
    with pytest.raises(BadInput, match="logged 2 datasets"):
        schema.judge(task_on(dataset(path), dataset(path)), lambda _text: None)


def test_evaluation_data_is_checked_too_and_named(tmp_path):
    training, evaluation = tmp_path / "training.parquet", tmp_path / "evaluation.parquet"
    flights().to_parquet(training)
    flights(120).drop(columns="fare").to_parquet(evaluation)
    outcome = schema.judge(task_on(dataset(training), dataset(evaluation, "evaluation")), lambda _text: None)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.summary == "'fare' is missing from the evaluation data."
    assert outcome.evidence["rows"] == {"training": 300, "evaluation": 120}
    assert outcome.data_digest not in ("", fingerprints.of_file(training))


def test_a_path_in_the_policy_starts_at_the_policys_folder(tmp_path):
    flights().to_csv(tmp_path / "june.csv", index=False)
    task = task_on(data={"training": {"input": "", "path": "june.csv"}, "evaluation": None})
    task = GateTask(
        task.gate, task.definition, task.application, task.components, data=task.data, directory=str(tmp_path)
    )
    assert schema.judge(task, lambda _text: None).verdict is Verdict.PASSED


def test_a_model_without_a_signature_is_judged_by_names_and_says_so(tmp_path):
    path = tmp_path / "training.parquet"
    flights().to_parquet(path)
    task = task_on(dataset(path))
    bare = Component(ComponentKind.MODEL, "flight-delay", "1", details={"signature": None})
    task = GateTask(task.gate, task.definition, task.application, (bare, *task.components[1:]), data=task.data)
    outcome = schema.judge(task, lambda _text: None)
    assert outcome.verdict is Verdict.PASSED
    assert "no signature" in outcome.warnings[0]


def test_a_wide_table_is_judged_in_a_moment(tmp_path):
    names = [f"sensor_{number}" for number in range(1500)]
    frame = pd.DataFrame(np.ones((50, 1500)), columns=names).assign(late=1)
    frame.to_parquet(tmp_path / "training.parquet")
    task = task_on(
        dataset(tmp_path / "training.parquet"), types=dict.fromkeys(names, "double"), data={"features": names}
    )
    outcome = schema.judge(task, lambda _text: None)
    assert outcome.verdict is Verdict.PASSED
    assert len(outcome.evidence["columns"]) == 1501
