"""Asking a model, and reading its answers: probabilities, labels or numbers, whichever way it was logged."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from services.errors import ArtifactUnusable
from services.rules import metric_names
from services.work import tracking

FROM_PROBABILITIES = ("roc_auc", "average_precision", "log_loss", "brier")

Answers = npt.NDArray[Any]


def of_model(model: Any, metric: str, features: pd.DataFrame) -> Answers:
    """One answer a row: the probability of yes where the metric or the model deals in it, else a label or a number.

    Raises ArtifactUnusable where the metric needs probabilities and the model has none.
    """
    if metric in FROM_PROBABILITIES:
        return np.asarray(tracking.probability_of_positive(model, features))
    predicted = np.asarray(model.predict(features))
    if predicted.ndim == 2 and predicted.shape[1] == 1:
        return np.asarray(predicted[:, 0])
    if predicted.ndim == 2 and metric in metric_names.CLASSIFICATION:
        return _of_classes(model, predicted)
    return predicted


def said_yes(predicted: Answers, positive: object) -> npt.NDArray[np.bool_]:
    """Labels as yes or no; probabilities say yes from one half on."""
    values = pd.Series(predicted)
    if pd.api.types.is_float_dtype(values.dtype) and not values.isin([0.0, 1.0]).all():
        return np.asarray(numbers(predicted) >= 0.5)
    return (values == positive).to_numpy(dtype=bool)


def numbers(predicted: Answers) -> npt.NDArray[np.float64]:
    """The answers as finite numbers. Raises ArtifactUnusable where they are not."""
    try:
        values = np.asarray(predicted, dtype=float)
    except (TypeError, ValueError) as error:
        raise ArtifactUnusable(
            "The model's predictions are not numbers.", "Choose a metric that takes labels."
        ) from error
    if wrong := int((~np.isfinite(values)).sum()):
        raise ArtifactUnusable(
            f"{wrong:,} of {len(values):,} predictions are not finite numbers.", "Correct the model, or its data."
        )
    return values


def _of_classes(model: Any, predicted: Answers) -> Answers:
    """One answer out of a column a class: the probability of the second of two, else the likeliest label."""
    if predicted.shape[1] == 2:
        return np.asarray(predicted[:, 1])
    raw = model.get_raw_model() if hasattr(model, "get_raw_model") else model
    classes = np.asarray(getattr(raw, "classes_", range(predicted.shape[1])))
    return np.asarray(classes[predicted.argmax(axis=1)])
