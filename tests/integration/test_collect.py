"""From MLflow's facts to a bundle's components, on a real embedded MLflow and real files."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from services import settings as settings_module
from services.errors import ArtifactUnusable
from services.rules import policy as policies
from services.rules.digests import bundle_digest, sha256
from services.rules.domain import Component, ComponentKind
from services.rules.drafts import BundleDraft
from services.rules.policy import Policy
from services.settings import Settings
from services.work.collect import candidate, collect, history, newest_parts, unpinned
from services.work.tracking import (
    DatasetToLog,
    ModelVersion,
    Tracking,
    TrainingRecord,
    record_training,
    register_prompt,
)

STORY = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
COMPLETE_TAGS = {
    "headgate.data_cutoff": "2026-02-28",
    "headgate.code_dirty": "false",
    "headgate.commits": '[["c0ffee", "2026-02-27T09:00:00Z"], ["decade", "2026-02-28T10:30:00+01:00"]]',
    "mlflow.source.git.commit": "decade",
    "mlflow.source.git.repoURL": "https://robot:secret@git.example.org/team/flight-delay.git",
}
Recorder = Callable[..., ModelVersion]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("home")
    return settings_module.load({"HEADGATE_HOME": str(home), "HEADGATE_MAKERS": "mia@lab=mia"})


@pytest.fixture(scope="module")
def tracking(settings: Settings) -> Tracking:
    return Tracking(settings)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> TrainingRecord:
    random = np.random.default_rng(7)
    frame = pd.DataFrame({"hour": random.integers(0, 24, 200), "wind": random.normal(size=200)})
    frame["late"] = (frame.wind > 0).astype(int)
    folder = tmp_path_factory.mktemp("data")
    train, held_out = frame.head(150), frame.tail(50)
    train.to_parquet(folder / "train.parquet")
    held_out.to_csv(folder / "held-out.csv", index=False)
    return TrainingRecord(
        experiment="delays",
        model_name="",
        estimator=LogisticRegression().fit(train[["hour", "wind"]], train.late),
        inputs=train[["hour", "wind"]],
        started_at=STORY,
        ended_at=STORY + timedelta(hours=1),
        registered_at=STORY + timedelta(hours=2),
        metrics={"roc_auc": 0.71},
        params={"C": 1.0},
        datasets=(
            DatasetToLog("flights", "evaluation", folder / "held-out.csv", held_out),
            DatasetToLog("flights", "training", folder / "train.parquet", train),
        ),
        tags=COMPLETE_TAGS,
        user="mia@lab",
    )


@pytest.fixture
def record(tracking: Tracking, training: TrainingRecord, request: pytest.FixtureRequest) -> Recorder:
    """Records under a model name of the test's own, so that the tests do not see each other's versions."""

    def recorded(**changes: object) -> ModelVersion:
        return record_training(tracking, replace(training, **{"model_name": request.node.name, **changes}))

    return recorded


def policy_for(model: str, prompts: str = "[]", data: str = "") -> Policy:
    name = f'model = "{model}"\n' if model else ""
    return policies.parse(f'[application]\nname = "app"\n[components]\n{name}prompts = {prompts}\n{data}')


def only(draft: BundleDraft, kind: ComponentKind) -> Component:
    (component,) = [component for component in draft.components if component.kind is kind]
    return component


def gap_names(draft: BundleDraft) -> list[str]:
    return [gap.name for gap in draft.gaps]


def test_a_complete_training_becomes_a_bundle_without_gaps(
    tracking: Tracking, settings: Settings, record: Recorder
) -> None:
    version = record()

    draft = candidate(tracking, policy_for(version.name), settings, "/")

    assert draft is not None
    assert draft.gaps == ()
    assert [(component.kind.value, component.name) for component in draft.components] == [
        ("model", version.name),
        ("dataset", "flights"),
        ("dataset", "flights (evaluation)"),
        ("code", "flight-delay"),
        ("environment", "python"),
    ]
    assert (draft.maker, draft.source, draft.application) == ("mia", "sync", "app")
    assert (draft.training_started_at, draft.training_ended_at) == (STORY, STORY + timedelta(hours=1))
    assert draft.registered_at == STORY + timedelta(hours=2)
    assert (draft.metrics, draft.parameters) == ({"roc_auc": 0.71}, {"C": "1.0"})
    assert [(commit.sha, commit.at) for commit in draft.commits] == [
        ("c0ffee", datetime(2026, 2, 27, 9, tzinfo=UTC)),
        ("decade", datetime(2026, 2, 28, 9, 30, tzinfo=UTC)),
    ]


def test_the_model_component_pins_version_artifact_and_signature(
    tracking: Tracking, settings: Settings, record: Recorder
) -> None:
    version = record()

    model = only(
        collect(tracking, policy_for(version.name), version, settings=settings, directory="/"), ComponentKind.MODEL
    )

    assert (model.version, model.uri) == ("1", f"models:/{version.name}/1")
    assert model.digest == tracking.files(version).digest
    assert [column["name"] for column in model.details["signature"]["inputs"]] == ["hour", "wind"]
    assert model.details["run_id"] == version.run_id
    assert model.details["size_bytes"] > 0


def test_a_readable_dataset_has_our_own_digest_of_all_its_bytes(
    tracking: Tracking, settings: Settings, record: Recorder, training: TrainingRecord
) -> None:
    version = record()

    draft = collect(tracking, policy_for(version.name), version, settings=settings, directory="/")
    trained, evaluated = [part for part in draft.components if part.kind is ComponentKind.DATASET]

    path = training.datasets[1].path
    assert trained.digest == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    assert trained.uri == str(path)
    assert trained.details["context"] == "training"
    assert trained.details["rows"] == 150
    assert trained.details["columns"] == {"hour": "long", "wind": "double", "late": "long"}
    assert trained.details["cutoff"] == "2026-02-28"
    assert trained.details["mlflow_digest"] == trained.version
    assert evaluated.details["context"] == "evaluation"
    assert "cutoff" not in evaluated.details


def test_collecting_twice_gives_the_same_bundle(tracking: Tracking, settings: Settings, record: Recorder) -> None:
    policy = policy_for(record().name)

    first, second = (candidate(tracking, policy, settings, "/") for _ in range(2))

    assert first is not None
    assert first == second
    assert bundle_digest("app", first.components) == bundle_digest("app", reversed(first.components))


def test_what_a_run_does_not_say_is_a_gap_each_with_its_reason(
    tracking: Tracking, settings: Settings, record: Recorder
) -> None:
    version = record(tags={}, datasets=(), user="", pip_requirements=("scikit-learn>=1.5", "skops==0.16.0"))

    draft = collect(tracking, policy_for(version.name), version, settings=settings, directory="/")

    reasons = {gap.name: gap.reason for gap in draft.gaps}
    assert set(reasons) == {"no-dataset", "no-commit", "unpinned-requirement"}
    assert "scikit-learn>=1.5" in reasons["unpinned-requirement"]
    assert "skops" not in reasons["unpinned-requirement"]
    assert "'training'" in reasons["no-dataset"]
    assert draft.maker == ""


def test_a_dirty_tree_and_a_missing_cutoff_are_gaps(tracking: Tracking, settings: Settings, record: Recorder) -> None:
    version = record(tags={"mlflow.source.git.commit": "decade", "headgate.code_dirty": "true"})

    draft = collect(tracking, policy_for(version.name), version, settings=settings, directory="/")

    assert gap_names(draft) == ["no-cutoff", "dirty-tree"]
    assert only(draft, ComponentKind.CODE).details == {"dirty": True}


def test_a_password_in_the_repository_address_is_left_out(
    tracking: Tracking, settings: Settings, record: Recorder
) -> None:
    version = record()

    code = only(
        collect(tracking, policy_for(version.name), version, settings=settings, directory="/"), ComponentKind.CODE
    )

    assert code.uri == "https://git.example.org/team/flight-delay.git"
    assert (code.version, code.details) == ("decade", {"dirty": False})


def test_data_that_lies_nowhere_is_a_gap_and_keeps_mlflows_digest(
    tracking: Tracking, settings: Settings, record: Recorder, training: TrainingRecord, tmp_path: Path
) -> None:
    path = tmp_path / "gone.parquet"
    frame = training.datasets[1].frame.head(99)  # MLflow knows the whole of it already, with a path that exists
    version = record(datasets=(replace(training.datasets[1], path=path, frame=frame),))

    draft = collect(tracking, policy_for(version.name), version, settings=settings, directory="/")

    data = only(draft, ComponentKind.DATASET)
    assert (data.digest, data.uri) == ("", str(path))
    assert data.version != ""
    assert gap_names(draft) == ["unreadable-data"]
    assert "does not exist" in draft.gaps[0].reason


def test_a_file_that_the_policy_names_stands_beside_the_policy(
    tracking: Tracking, settings: Settings, record: Recorder, training: TrainingRecord, tmp_path: Path
) -> None:
    version = record()
    (tmp_path / "data").mkdir()
    shutil.copy(training.datasets[0].path, tmp_path / "data" / "judge.csv")
    data = '[data]\nevaluation = { path = "data/judge.csv" }\n'

    draft = collect(tracking, policy_for(version.name, data=data), version, settings=settings, directory=str(tmp_path))

    found = {part.details["context"]: part for part in draft.components if part.kind is ComponentKind.DATASET}
    assert set(found) == {"training", "evaluation"}
    named = found["evaluation"]
    assert (named.name, named.uri) == ("data/judge.csv", str(tmp_path / "data" / "judge.csv"))
    assert named.details["rows"] == 50
    assert set(named.details["columns"]) == {"hour", "wind", "late"}
    assert named.digest.startswith("sha256:")


def test_the_newest_version_of_a_prompt_travels_with_the_model(
    tracking: Tracking, settings: Settings, record: Recorder
) -> None:
    version = record()
    register_prompt(tracking, "notice", "{{ airline }}")
    policy = policy_for(version.name, '["notice"]')
    before = candidate(tracking, policy, settings, "/")

    newer = register_prompt(tracking, "notice", "{{ airline }} {{ flight }}")
    after = candidate(tracking, policy, settings, "/")

    assert before is not None
    assert after is not None
    prompt = only(after, ComponentKind.PROMPT)
    assert (prompt.version, prompt.uri) == (newer.version, "prompts:/notice/2")
    assert prompt.digest == sha256(newer.template)
    assert prompt.details == {"template": newer.template, "variables": ["airline", "flight"]}
    assert only(before, ComponentKind.MODEL) == only(after, ComponentKind.MODEL)
    assert bundle_digest("app", before.components) != bundle_digest("app", after.components)


def test_a_prompt_linked_to_the_model_is_taken_before_a_newer_one(
    tracking: Tracking, settings: Settings, record: Recorder
) -> None:
    linked = register_prompt(tracking, "pinned", "{{ airline }}")
    version = record(prompts=(linked,))
    register_prompt(tracking, "pinned", "{{ airline }} {{ flight }}")

    draft = candidate(tracking, policy_for(version.name, '["pinned"]'), settings, "/")

    assert draft is not None
    assert only(draft, ComponentKind.PROMPT).version == linked.version


def test_a_prompt_that_mlflow_does_not_have_is_a_gap(tracking: Tracking, settings: Settings, record: Recorder) -> None:
    version = record()

    draft = candidate(tracking, policy_for(version.name, '["never-written"]'), settings, "/")

    assert draft is not None
    assert gap_names(draft) == ["no-prompt"]
    assert "'never-written'" in draft.gaps[0].reason


def test_an_application_of_prompts_alone_has_no_model_and_none_of_its_gaps(
    tracking: Tracking, settings: Settings
) -> None:
    register_prompt(tracking, "alone", "Hello {{ name }}", registered_at=STORY)

    draft = candidate(tracking, policy_for("", '["alone"]'), settings, "/")

    assert draft is not None
    assert [component.kind.value for component in draft.components] == ["prompt"]
    assert draft.gaps == ()
    assert (draft.registered_at, draft.training_started_at, draft.maker) == (STORY, None, "")


def test_where_nothing_is_registered_there_is_no_candidate(tracking: Tracking, settings: Settings) -> None:
    assert candidate(tracking, policy_for("nobody-trained-this"), settings, "/") is None
    assert candidate(tracking, policy_for("", '["nobody-wrote-this"]'), settings, "/") is None


def test_the_parts_tell_a_bundle_again_without_opening_it(tracking: Tracking, record: Recorder) -> None:
    version = record()
    prompt = register_prompt(tracking, "told", "{{ a }}")

    parts = newest_parts(tracking, policy_for(version.name, '["told"]'))

    assert parts is not None
    assert parts.uris == (version.uri, prompt.uri)


def test_infinite_and_undefined_metrics_are_dropped(tracking: Tracking, settings: Settings, record: Recorder) -> None:
    version = record(metrics={"good": 0.5, "infinite": float("inf"), "undefined": float("nan")})

    draft = collect(tracking, policy_for(version.name), version, settings=settings, directory="/")

    assert draft.metrics == {"good": 0.5}


def test_commits_that_cannot_be_read_are_a_gap_and_not_an_error(
    tracking: Tracking, settings: Settings, record: Recorder
) -> None:
    version = record(tags=COMPLETE_TAGS | {"headgate.commits": "decade, c0ffee"})

    draft = collect(tracking, policy_for(version.name), version, settings=settings, directory="/")

    assert draft.commits == ()
    assert gap_names(draft) == ["no-commit"]


def test_history_tells_all_versions_oldest_first_with_the_prompts_of_their_time(
    tracking: Tracking, settings: Settings, record: Recorder
) -> None:
    register_prompt(tracking, "aging", "{{ a }}")
    first = record()
    register_prompt(tracking, "aging", "{{ a }} {{ b }}")
    record()
    register_prompt(tracking, "aging", "{{ a }} {{ b }} {{ c }}")
    policy = policy_for(first.name, '["aging"]')

    told = list(history(tracking, policy, settings, "/"))

    pairs = [(only(draft, ComponentKind.MODEL).version, only(draft, ComponentKind.PROMPT).version) for draft in told]
    assert pairs == [("1", "1"), ("2", "2"), ("2", "3")]
    assert told[-1] == candidate(tracking, policy, settings, "/")


def test_history_passes_over_a_version_whose_artifact_is_gone_and_says_so(
    tracking: Tracking, settings: Settings, record: Recorder
) -> None:
    first, second = record(), record()
    folder = tracking._local_folder(first)
    assert folder is not None
    shutil.rmtree(folder)
    passed_over = []

    policy = policy_for(first.name)
    told = list(history(tracking, policy, settings, "/", unusable=lambda parts, _: passed_over.append(parts.model)))

    assert [only(draft, ComponentKind.MODEL).version for draft in told] == [second.version]
    assert passed_over == [first]
    with pytest.raises(ArtifactUnusable):
        list(history(tracking, policy, settings, "/"))


@pytest.mark.parametrize(
    ("line", "pinned"),
    [
        ("numpy==2.4.6", True),
        ("uvicorn[standard] == 0.30", True),
        ("pandas==3.1.1 ; python_version >= '3.11'", True),
        ("numpy==2.4.6 --hash=sha256:abc", True),
        ("# a comment", True),
        ("--index-url https://example.org", True),
        ("numpy", False),
        ("numpy>=2", False),
        ("numpy==2.*", False),
        ("numpy==2.4.6,<3", False),
        ("git+https://example.org/team/tool.git", False),
        ("-e .", False),
    ],
)
def test_a_requirement_is_pinned_when_it_names_one_version(line: str, pinned: bool) -> None:
    assert unpinned(line) == ([] if pinned else [line])
