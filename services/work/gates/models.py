"""Loading the model that a gate asks, after a look at what it is."""

from __future__ import annotations

from typing import Any

from services.errors import ArtifactUnusable
from services.work import tracking
from services.work.gates.task import GateTask


def load(task: GateTask) -> tuple[Any, tuple[str, ...]]:
    """The task's model, and warnings about code of its own that ran here.

    Raises ArtifactUnusable where it is gone, changed since the bundle was made, or holds types nobody trusts;
    RegistryUnreachable where MLflow does not answer.
    """
    return tracking.load_checked(task.tracking_uri, task.model.uri, task.model.digest, task.trusted_types)


def load_live(task: GateTask) -> tuple[Any, tuple[str, ...]]:
    """The live model of a task that has one; its errors say that it is the live one which cannot be asked."""
    try:
        model, warnings = load(task.of_live())
    except ArtifactUnusable as error:
        said = f"The live model of {task.live_ref} cannot be asked. {error.message}"
        raise ArtifactUnusable(said, error.remedy) from error
    return model, tuple(f"Of the live model: {warning[:1].lower()}{warning[1:]}" for warning in warnings)
