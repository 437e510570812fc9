"""Logging real work into MLflow: what the sample and the tests record their trainings and prompts with.

    with tempfile.TemporaryDirectory() as home:
        settings = services.settings.load({"HEADGATE_HOME": home})
        tracking = Tracking(settings)
        version = record_training(tracking, TrainingRecord(
            experiment="flight-delay", model_name="flight-delay", estimator=fitted, inputs=train[features],
            metrics={"roc_auc": 0.71}, params={"max_iter": 100},
            datasets=(DatasetToLog("flights", "training", path, train),),
            started_at=start, ended_at=end, registered_at=end, user="maker"))
        model = load_pyfunc(settings.tracking_uri, version.uri)
        probabilities = probability_of_positive(model, held_out[features])

A classifier is logged so that `predict` of the loaded model is its `predict_proba`: one row of two probabilities, the
second column (`classes_[1]`) being the positive class; the signature's output says so.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import Dataset, InputTag, Metric, Param, RunTag
from mlflow.entities import DatasetInput as LoggedInput
from mlflow.models import infer_signature
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_USER

from services.errors import BadInput
from services.work.tracking.facts import REGISTERED_AT_TAG, ModelVersion, PromptVersion
from services.work.tracking.registry import Tracking
from services.work.tracking.trust import TRUSTED_TYPES

SIGNATURE_ROWS = 1000


@dataclass(frozen=True)
class DatasetToLog:
    """A dataset that a training used, and the file it was read from."""

    name: str
    context: str
    path: Path
    frame: pd.DataFrame


@dataclass(frozen=True)
class TrainingRecord:
    """One training as it happened. `inputs` are rows as the model takes them, from which the signature is made.

    `tags` are run tags, such as headgate.data_cutoff, headgate.commits and mlflow.source.git.commit. `prompts` are
    linked to the model, which pins them: leave them out where a newer prompt should travel with the same model.
    """

    experiment: str
    model_name: str
    estimator: Any
    inputs: pd.DataFrame
    started_at: datetime
    ended_at: datetime
    registered_at: datetime | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, object] = field(default_factory=dict)
    datasets: tuple[DatasetToLog, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    prompts: tuple[PromptVersion, ...] = ()
    user: str = ""
    pip_requirements: tuple[str, ...] = ()


def record_training(tracking: Tracking, training: TrainingRecord) -> ModelVersion:
    """Log the run with the story's times, its model and its data, and register the model as a new version.

    Raises RegistryUnreachable or RegistryRefused; what was logged by then stays in MLflow as a run without a version.
    """
    experiment = tracking.experiment(training.experiment)
    with tracking.asking(f"the training of {training.model_name!r}", writes=True):
        run_id = _open_run(tracking, training, experiment)
        model_id = _log_model(tracking, training, experiment, run_id)
        tracking.client.set_terminated(run_id, end_time=_milliseconds(training.ended_at))
        return _register(tracking, training, run_id, model_id)


def register_prompt(
    tracking: Tracking,
    name: str,
    template: str | list[dict[str, Any]],
    registered_at: datetime | None = None,
    message: str = "",
) -> PromptVersion:
    """A new version of the prompt, or the newest one where that has this very template already."""
    newest = tracking.prompt(name)
    if newest and newest.template == tracking.template_text(template):
        return newest
    tags = {REGISTERED_AT_TAG: _iso(registered_at)} if registered_at else {}
    with tracking.asking(f"prompt {name!r}", writes=True):
        made = tracking.client.register_prompt(name, template, commit_message=message or None, tags=tags)
    found = tracking.prompt(name, str(made.version))
    assert found is not None
    return found


def default_requirements() -> tuple[str, ...]:
    """What a scikit-learn model needs to be loaded, pinned to what is installed here."""
    return tuple(
        f"{name}=={installed_version(name)}" for name in ("mlflow", "scikit-learn", "skops", "pandas", "numpy")
    )


def _open_run(tracking: Tracking, training: TrainingRecord, experiment: str) -> str:
    tags = dict(training.tags)
    if training.user:
        tags[MLFLOW_USER] = training.user
    client, ended = tracking.client, _milliseconds(training.ended_at)
    run = client.create_run(experiment, start_time=_milliseconds(training.started_at), tags=tags)
    run_id = str(run.info.run_id)
    client.log_batch(
        run_id,
        metrics=[Metric(name, float(value), ended, 0) for name, value in training.metrics.items()],
        params=[Param(name, str(value)) for name, value in training.params.items()],
        tags=[RunTag(name, value) for name, value in tags.items()],
    )
    if training.datasets:
        client.log_inputs(run_id, datasets=[_input(dataset) for dataset in training.datasets])
    return run_id


def _input(dataset: DatasetToLog) -> LoggedInput:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that integer columns cannot hold a missing value
        source = from_pandas(dataset.frame, source=str(dataset.path.absolute()), name=dataset.name)
        facts = source.to_dict()
    entity = Dataset(
        name=facts["name"],
        digest=facts["digest"],
        source_type=facts["source_type"],
        source=facts["source"],
        schema=facts["schema"],
        profile=facts["profile"],
    )
    return LoggedInput(dataset=entity, tags=[InputTag(key=MLFLOW_DATASET_CONTEXT, value=dataset.context)])


def _log_model(tracking: Tracking, training: TrainingRecord, experiment: str, run_id: str) -> str:
    import mlflow.sklearn

    classifies = hasattr(training.estimator, "predict_proba")
    predict = "predict_proba" if classifies else "predict"
    sample = training.inputs.head(SIGNATURE_ROWS)
    if sample.empty:
        raise BadInput("The training has no input rows.", "Give the rows that the model was trained on.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        signature = infer_signature(sample, getattr(training.estimator, predict)(sample))
    # Made first and by hand: left to itself, log_model puts the model into the default experiment, whose files land
    # in the working directory.
    model = tracking.client.create_logged_model(
        experiment, name="model", source_run_id=run_id, params={k: str(v) for k, v in training.params.items()}
    )
    mlflow.sklearn.log_model(
        training.estimator,
        name="model",
        model_id=model.model_id,
        run_id=run_id,
        signature=signature,
        pip_requirements=list(training.pip_requirements or default_requirements()),
        pyfunc_predict_fn=predict,
        serialization_format="skops",
        skops_trusted_types=list(TRUSTED_TYPES),
    )
    for prompt in training.prompts:
        tracking.client.link_prompt_version_to_model(prompt.name, prompt.version, model.model_id)
    return str(model.model_id)


def _register(tracking: Tracking, training: TrainingRecord, run_id: str, model_id: str) -> ModelVersion:
    tracking.ensure_registered_model(training.model_name)
    tags = {REGISTERED_AT_TAG: _iso(training.registered_at)} if training.registered_at else {}
    made = tracking.client.create_model_version(
        training.model_name, source=f"models:/{model_id}", run_id=run_id, tags=tags, model_id=model_id
    )
    return tracking.version(training.model_name, str(made.version))


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
