"""What MLflow knows, as frozen dataclasses: nothing of MLflow's own leaves this package."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

REGISTERED_AT_TAG = "headgate.registered_at"


@dataclass(frozen=True)
class ModelVersion:
    """A version of a registered model. `model_id` is None where its source is no logged model."""

    name: str
    version: str
    uri: str
    source: str
    model_id: str | None
    run_id: str | None
    created_at: datetime
    registered_at: datetime
    tags: dict[str, str] = field(default_factory=dict)
    user: str = ""


@dataclass(frozen=True)
class DatasetInput:
    """A dataset that a run says it used. `digest` is MLflow's own; `source` is a path or address, "" if unknown."""

    name: str
    context: str
    digest: str
    source: str
    source_type: str
    columns: dict[str, str] = field(default_factory=dict)
    rows: int | None = None


@dataclass(frozen=True)
class Run:
    id: str
    user: str
    started_at: datetime
    ended_at: datetime | None
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    inputs: tuple[DatasetInput, ...] = ()


@dataclass(frozen=True)
class PromptVersion:
    """A version of a prompt. `template` is the text, or canonical JSON of the messages of a chat prompt."""

    name: str
    version: str
    uri: str
    template: str
    variables: tuple[str, ...]
    created_at: datetime
    registered_at: datetime


@dataclass(frozen=True)
class ModelFiles:
    """A model's artifact. The digests are "" where there is nothing to take one of.

    `signature` is {"inputs": [{"name", "type", "required"}], "outputs": [...]}, or None where the model has none.
    `predicts` is what `predict` of the loaded model calls ("predict", "predict_proba"), "" where it is not said.
    """

    digest: str
    environment_digest: str
    requirements: str
    signature: dict[str, Any] | None
    size_bytes: int
    flavors: tuple[str, ...] = ()
    predicts: str = ""
    python: str = ""
