"""What Headgate asks of MLflow and writes into it, on a real MLflow in its own process."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from trainings import DIGEST, STORY, flight_rows, flight_training

from services import settings as settings_module
from services.errors import ArtifactUnusable, NotFound, RegistryRefused
from services.work.tracking import (
    BUNDLE_TAG,
    MANIFEST_TAG,
    ModelVersion,
    Tracking,
    TrainingRecord,
    load_pyfunc,
    probability_of_positive,
    record_training,
    register_prompt,
)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return flight_rows()


@pytest.fixture(scope="module")
def training(rows: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> TrainingRecord:
    return flight_training(rows, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    home = tmp_path_factory.mktemp("home")
    return Tracking(settings_module.load({"HEADGATE_HOME": str(home)}))


@pytest.fixture(scope="module")
def version(tracking: Tracking, training: TrainingRecord) -> ModelVersion:
    return record_training(tracking, training)


def test_a_training_is_recorded_with_the_times_of_its_story(tracking: Tracking, version: ModelVersion) -> None:
    run = tracking.run(version.run_id or "")

    assert (run.started_at, run.ended_at) == (STORY, STORY + timedelta(hours=1))
    assert version.registered_at == STORY + timedelta(hours=2)
    assert (run.user, run.metrics, run.params) == ("mia", {"roc_auc": 0.71}, {"C": "1.0"})
    assert run.tags["headgate.data_cutoff"] == "2026-02-28"


def test_a_dataset_input_says_its_context_its_columns_and_where_it_lies(
    tracking: Tracking, version: ModelVersion, training: TrainingRecord
) -> None:
    (entry,) = tracking.run(version.run_id or "").inputs

    assert (entry.name, entry.context, entry.rows) == ("flights", "training", 300)
    assert entry.columns == {"hour": "long", "wind": "double", "late": "long"}
    assert Path(entry.source) == training.datasets[0].path


def test_the_models_files_tell_signature_environment_and_size(tracking: Tracking, version: ModelVersion) -> None:
    files = tracking.files(version)

    assert files.signature is not None
    assert files.signature["inputs"] == [
        {"name": "hour", "type": "long", "required": True},
        {"name": "wind", "type": "double", "required": True},
    ]
    assert "scikit-learn==" in files.requirements
    assert files.environment_digest.startswith("sha256:")
    assert files.size_bytes > 1000
    assert files.predicts == "predict_proba"
    assert tracking.files(version) == files, "the same artifact has the same digest"


def test_the_loaded_classifier_gives_the_probability_of_the_positive_class(
    tracking: Tracking, version: ModelVersion, training: TrainingRecord
) -> None:
    model = load_pyfunc(tracking.uri, version.uri)

    expected = training.estimator.predict_proba(training.inputs)[:, 1]
    np.testing.assert_allclose(probability_of_positive(model, training.inputs), expected)
    np.testing.assert_allclose(probability_of_positive(training.estimator, training.inputs), expected)


def test_a_regression_gives_no_probabilities(rows: pd.DataFrame) -> None:
    class Minutes:
        def predict(self, rows: pd.DataFrame) -> np.ndarray:
            return rows.wind.to_numpy() * 10

    with pytest.raises(ArtifactUnusable, match="not one probability a row"):
        probability_of_positive(Minutes(), rows)


def test_a_tree_ensemble_is_logged_and_loaded(tracking: Tracking, training: TrainingRecord, rows: pd.DataFrame) -> None:
    trees = HistGradientBoostingClassifier(max_iter=5).fit(training.inputs, rows.late)

    version = record_training(tracking, replace(training, model_name="trees", estimator=trees))

    model = load_pyfunc(tracking.uri, version.uri)
    np.testing.assert_allclose(
        probability_of_positive(model, training.inputs), trees.predict_proba(training.inputs)[:, 1]
    )


def test_nothing_lands_in_the_working_directory_or_the_environment(
    tmp_path: Path, training: TrainingRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    settings = settings_module.load({"HEADGATE_HOME": str(tmp_path / "home")})
    embedded = Tracking(settings)

    made = record_training(embedded, training)
    embedded.ensure_bundle_version("flight-delay", digest=DIGEST, ref="flight-delay/1", manifest={}, model=made)

    assert list(elsewhere.iterdir()) == []
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert any(settings.artifact_root.rglob("MLmodel"))


def test_versions_are_listed_oldest_first_without_deleted_ones(tracking: Tracking, training: TrainingRecord) -> None:
    made = [record_training(tracking, replace(training, model_name="listed")) for _ in range(3)]

    tracking.client.delete_model_version("listed", made[1].version)

    assert [version.version for version in tracking.versions("listed")] == ["1", "3"]
    assert tracking.newest_version("listed") == made[2]
    assert tracking.newest_version("nobody-registered-this") is None
    with pytest.raises(NotFound, match="version 2"):
        tracking.version("listed", "2")


def test_a_version_that_is_no_number_is_not_found(tracking: Tracking, version: ModelVersion) -> None:
    with pytest.raises(NotFound, match="'latest' is not a version"):
        tracking.version("flight-delay", "latest")


def test_a_model_name_may_hold_quotes_and_emoji(tracking: Tracking, training: TrainingRecord) -> None:
    name = "o'hare <b>delays ✈️"

    record_training(tracking, replace(training, model_name=name))

    assert tracking.newest_version(name) is not None
    assert tracking.model_exists(name)


def test_models_and_prompts_are_told_apart(tracking: Tracking, version: ModelVersion) -> None:
    register_prompt(tracking, "notice", "Flight {{ flight }}")

    assert tracking.model_exists("flight-delay")
    assert not tracking.prompt_exists("flight-delay")
    assert tracking.prompt_exists("notice")
    assert not tracking.model_exists("notice")
    assert tracking.prompt_versions("flight-delay") == []
    with pytest.raises(RegistryRefused, match="a prompt named 'notice'"):
        tracking.ensure_registered_model("notice")


def test_the_same_prompt_text_twice_in_a_row_is_one_version(tracking: Tracking) -> None:
    first = register_prompt(tracking, "wording", "{{airline}} {{flight}} is late", registered_at=STORY)
    again = register_prompt(tracking, "wording", "{{airline}} {{flight}} is late")
    second = register_prompt(tracking, "wording", "{{airline}} {{flight}}: {{minutes}} minutes late")
    back = register_prompt(tracking, "wording", "{{airline}} {{flight}} is late")

    assert again == first
    assert [first.version, second.version, back.version] == ["1", "2", "3"]
    assert first.registered_at == STORY
    assert second.variables == ("airline", "flight", "minutes")
    assert tracking.prompt("wording") == back
    assert tracking.prompt("wording", "2") == second
    assert tracking.prompt("wording", "9") is None
    assert tracking.prompt("no-such-prompt") is None


def test_a_chat_prompt_is_its_messages_as_canonical_json(tracking: Tracking) -> None:
    made = register_prompt(tracking, "chat", [{"role": "user", "content": "Hello {{ name }}"}])

    assert made.template == '[{"content":"Hello {{ name }}","role":"user"}]'
    assert register_prompt(tracking, "chat", [{"content": "Hello {{ name }}", "role": "user"}]) == made


def test_prompts_linked_to_a_model_are_found(tracking: Tracking, training: TrainingRecord) -> None:
    prompt = register_prompt(tracking, "linked", "{{ a }}")

    version = record_training(tracking, replace(training, model_name="with-prompt", prompts=(prompt,)))

    assert tracking.prompts_of(version) == [prompt]


def test_prompts_linked_to_the_run_alone_are_found(tracking: Tracking, training: TrainingRecord) -> None:
    prompt = register_prompt(tracking, "linked-to-run", "{{ a }}")
    version = record_training(tracking, replace(training, model_name="with-run-prompt"))
    assert tracking.prompts_of(version) == []

    tracking.client.link_prompt_version_to_run(version.run_id, prompt.uri)

    assert tracking.prompts_of(version) == [prompt]


def test_the_pointer_is_made_once_and_loads_the_same_model(
    tracking: Tracking, version: ModelVersion, training: TrainingRecord
) -> None:
    manifest = {"components": [{"kind": "prompt", "uri": "prompts:/delay-notice/1"}]}

    first = tracking.ensure_bundle_version(
        "flight-delay", digest=DIGEST, ref="flight-delay/1", manifest=manifest, model=version
    )
    again = tracking.ensure_bundle_version(
        "flight-delay", digest=DIGEST, ref="flight-delay/1", manifest=manifest, model=version
    )
    tracking.set_model_alias("bundle.flight-delay", "production", first)

    assert first == again
    assert len(tracking.versions("bundle.flight-delay")) == 1
    tags = tracking.version("bundle.flight-delay", first).tags
    assert tags[BUNDLE_TAG] == "flight-delay/1"
    assert tags[MANIFEST_TAG] == '{"components":[{"kind":"prompt","uri":"prompts:/delay-notice/1"}]}'
    through = load_pyfunc(tracking.uri, "models:/bundle.flight-delay@production")
    direct = load_pyfunc(tracking.uri, version.uri)
    np.testing.assert_array_equal(through.predict(training.inputs), direct.predict(training.inputs))


def test_of_two_versions_with_one_digest_the_smallest_wins(tracking: Tracking, version: ModelVersion) -> None:
    for _ in range(2):  # as two workers would, who both looked before either wrote
        tracking.ensure_registered_model("bundle.raced")
        tracking._create_bundle_version("bundle.raced", {"headgate.digest": DIGEST}, version)

    found = tracking.ensure_bundle_version("raced", digest=DIGEST, ref="raced/1", manifest={}, model=version)

    assert found == "1"


def test_a_number_that_means_something_else_is_not_the_bundle(tracking: Tracking, version: ModelVersion) -> None:
    number = tracking.ensure_bundle_version("checked", digest=DIGEST, ref="checked/1", manifest={}, model=version)

    assert tracking.bundle_version_exists("checked", number, DIGEST)
    assert not tracking.bundle_version_exists("checked", number, "sha256:" + "b" * 64)
    assert not tracking.bundle_version_exists("checked", "99", DIGEST)
    assert not tracking.bundle_version_exists("never-deployed", "1", DIGEST)


def test_a_bundle_of_prompts_alone_has_a_pointer_that_loads_nothing(tracking: Tracking) -> None:
    number = tracking.ensure_bundle_version(
        "notices", digest=DIGEST, ref="notices/1", manifest={"prompt": "prompts:/notice/1"}, model=None
    )
    tracking.set_model_alias("bundle.notices", "production", number)

    assert tracking.bundle_version_exists("notices", number, DIGEST)
    with pytest.raises(ArtifactUnusable, match="external"):
        load_pyfunc(tracking.uri, "models:/bundle.notices@production")


def test_a_manifest_that_mlflow_would_cut_is_refused(tracking: Tracking, version: ModelVersion) -> None:
    with pytest.raises(RegistryRefused, match="100"):
        tracking.ensure_bundle_version(
            "large", digest=DIGEST, ref="large/1", manifest={"text": "x" * 100_001}, model=version
        )


def test_aliases_of_members_are_set_and_read(tracking: Tracking, version: ModelVersion) -> None:
    register_prompt(tracking, "aliased", "{{ a }}")

    tracking.set_model_alias("flight-delay", "production", version.version)
    tracking.set_prompt_alias("aliased", "production", "1")

    assert tracking.model_aliases("flight-delay") == {"production": version.version}
    assert tracking.prompt_aliases("aliased") == {"production": "1"}
    assert tracking.model_aliases("unheard-of") == {}
    assert tracking.prompt_aliases("unheard-of") == {}


def test_an_alias_on_a_version_that_is_gone_is_a_definite_no(tracking: Tracking, version: ModelVersion) -> None:
    register_prompt(tracking, "short-lived", "{{ a }}")

    with pytest.raises(RegistryRefused, match="version=77"):
        tracking.set_model_alias("flight-delay", "production", "77")
    with pytest.raises(RegistryRefused, match="version 77"):
        tracking.set_prompt_alias("short-lived", "production", "77")


def test_an_artifact_that_is_gone_is_unusable(tracking: Tracking, training: TrainingRecord) -> None:
    version = record_training(tracking, replace(training, model_name="gone"))
    folder = tracking._local_folder(version)
    assert folder is not None
    shutil.rmtree(folder)

    with pytest.raises(ArtifactUnusable, match="models:/gone/1"):
        tracking.files(version)
    with pytest.raises(ArtifactUnusable, match="models:/gone/1"):
        tracking.require_artifact(version)
    with pytest.raises(ArtifactUnusable, match="models:/gone/1"):
        load_pyfunc(tracking.uri, version.uri)


def test_a_damaged_model_description_is_unusable(tracking: Tracking, training: TrainingRecord) -> None:
    version = record_training(tracking, replace(training, model_name="damaged"))
    folder = tracking._local_folder(version)
    assert folder is not None
    (folder / "MLmodel").write_text("flavors: [1, {")

    with pytest.raises(ArtifactUnusable, match="gone or damaged"):
        tracking.files(version)
