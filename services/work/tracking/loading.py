"""Loading a model and asking it. Runs the model's own code: only in a gate's child process, and in tests."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from services.errors import ArtifactUnusable, HeadgateError, RegistryUnreachable
from services.work.tracking import artifacts, trust
from services.work.tracking.client import first_line, shown, use_globally


def load_pyfunc(tracking_uri: str, model_uri: str) -> Any:
    """The model as MLflow's pyfunc, for example of `models:/bundle.flight-delay@production`.

    Raises RegistryUnreachable where MLflow does not answer, and ArtifactUnusable where there is no such model or its
    files cannot be loaded.
    """
    import mlflow.pyfunc

    use_globally(tracking_uri)
    with _in_words(tracking_uri, model_uri):
        return mlflow.pyfunc.load_model(model_uri)


def load_checked(
    tracking_uri: str, model_uri: str, digest: str = "", trusted: Collection[str] = ()
) -> tuple[Any, tuple[str, ...]]:
    """The model as `load_pyfunc` has it, looked at before any of its code runs; and warnings about that code.

    `digest` is what the bundle recorded, "" where it recorded none; `trusted` are types that a skops file may hold
    beside those we know. Raises ArtifactUnusable where the artifact is another by now, or holds unknown types.
    """
    import mlflow.artifacts
    import mlflow.pyfunc

    use_globally(tracking_uri)
    with _in_words(tracking_uri, model_uri):
        folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=model_uri))
        if digest.startswith("sha256:") and artifacts.digest_of(folder) != digest:
            raise ArtifactUnusable(
                f"The artifact of {model_uri} changed since the bundle was made: it is not what was recorded.",
                "Put the recorded files back, or log and register the model again.",
            )
        warnings = trust.look(folder, model_uri, trusted)
        return mlflow.pyfunc.load_model(str(folder)), warnings


@contextmanager
def _in_words(tracking_uri: str, model_uri: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except HeadgateError:
        raise
    except MlflowException as error:
        if "API request to" in error.message:
            raise RegistryUnreachable(
                f"MLflow at {shown(tracking_uri)} does not answer ({first_line(error.message)}).",
                "Check MLFLOW_TRACKING_URI and that the server runs, then try again.",
            ) from error
        raise _unusable(model_uri, error.message) from error
    except Exception as error:  # the model's own code and its libraries may raise anything
        raise _unusable(model_uri, f"{type(error).__name__}: {error}") from error


def probability_of_positive(model: Any, rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The probability of the positive (second) class for each row, in the order of the rows.

    Takes, in this order: two columns of `predict` (what `record_training` logs); one column of floats that are not
    all 0 and 1; `predict_proba` of the model underneath, where `predict` gives labels. Raises ArtifactUnusable where
    the model gives no probability at all, or values outside 0 to 1.
    """
    predicted = np.asarray(model.predict(rows))
    if predicted.ndim == 2 and predicted.shape[1] == 2:
        probabilities = predicted[:, 1].astype(float)
    elif _looks_like_probability(predicted):
        probabilities = predicted.reshape(-1).astype(float)
    else:
        probabilities = _from_underneath(model, rows)
    if len(probabilities) != len(rows) or not np.all((probabilities >= 0) & (probabilities <= 1)):
        raise ArtifactUnusable(
            "The model's predictions are not one probability a row.",
            "Log it with pyfunc_predict_fn='predict_proba', or choose a metric that takes labels.",
        )
    return probabilities


def _looks_like_probability(predicted: np.ndarray[Any, Any]) -> bool:
    flat = predicted.ndim == 1 or (predicted.ndim == 2 and predicted.shape[1] == 1)
    return flat and np.issubdtype(predicted.dtype, np.floating) and not np.isin(predicted, (0.0, 1.0)).all()


def _from_underneath(model: Any, rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    raw = model.get_raw_model() if hasattr(model, "get_raw_model") else model
    if not hasattr(raw, "predict_proba"):
        raise ArtifactUnusable(
            "The model gives labels and no probabilities.",
            "Log it with pyfunc_predict_fn='predict_proba', or choose a metric that takes labels.",
        )
    return np.asarray(raw.predict_proba(rows))[:, 1].astype(float)


def _unusable(model_uri: str, said: str) -> ArtifactUnusable:
    return ArtifactUnusable(
        f"The model {model_uri} cannot be loaded ({first_line(said)}).",
        "Look at its artifact in MLflow; if it is gone, log the model again.",
    )
