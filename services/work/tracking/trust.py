"""What a model's files are, read without loading any of it: does its artifact bring code that would run?

A skops file names the types it is made of, and MLflow would take the list of trusted ones from the model's own
MLmodel file. Here they are compared with our list. A pickle can be anything, and code that a model brings is code.
"""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from mlflow.models import Model

from services.errors import ArtifactUnusable

# Of scikit-learn's own, and not known to skops: compiled trees and losses, and what its estimators keep inside.
TRUSTED_TYPES = (
    "sklearn.tree._tree.Tree",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn._loss._loss.CyHalfBinomialLoss",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
)
PICKLES = "The model is a pickle: its code ran in the gate's child process."
OWN_CODE = "The model brings its own code, which ran in the gate's child process."

PICKLE_MAGIC = b"\x80"  # followed by the number of the protocol, from 2 on
PICKLE_PROTOCOLS = range(2, 6)
PICKLE_SUFFIXES = (".pkl", ".pickle", ".cloudpickle", ".joblib", ".dill")
SKOPS_SCHEMA = "schema.json"
OPENED = ("pickled_model", "model_path", "data")
BRINGS_CODE = ("code", "model_code_path")


def look(folder: Path, uri: str, trusted: Collection[str] = ()) -> tuple[str, ...]:
    """Warnings about what will run when the model in this folder is loaded.

    Raises ArtifactUnusable where a skops file holds types that neither skops, Headgate nor `trusted` know.
    """
    flavors = _flavors(folder, uri)
    files = {path for path in folder.rglob("*") if path.is_file()} | _named(folder, flavors)
    untrusted = (_untrusted(path, uri) for path in sorted(files) if _is_skops(path))
    unknown = sorted(set().union(*untrusted).difference(TRUSTED_TYPES, trusted))
    if unknown:
        raise ArtifactUnusable(
            f"The model {uri} holds {'a type' if len(unknown) == 1 else 'types'} that Headgate does not know, so it was"
            f" not loaded: {', '.join(unknown)}.",
            "Look at what they are. Log the model without them, or, where they are right, name them in "
            "HEADGATE_TRUSTED_TYPES of the worker and run the gate again.",
        )
    said_pickle = any("pickle" in str(flavor.get("serialization_format", "")) for flavor in flavors)
    warnings = [PICKLES] if said_pickle or any(_is_pickle(path) for path in files) else []
    if any(flavor.get(key) for flavor in flavors for key in BRINGS_CODE):
        warnings.append(OWN_CODE)
    return tuple(warnings)


def _flavors(folder: Path, uri: str) -> list[dict[str, Any]]:
    try:
        return [dict(flavor) for flavor in Model.load(str(folder)).flavors.values()]
    except Exception as error:  # a damaged MLmodel makes MLflow's parser raise almost anything
        raise ArtifactUnusable(
            f"The description of the model {uri} cannot be read ({type(error).__name__}: {error}).",
            "Restore its artifact in MLflow, or log the model again.",
        ) from error


def _named(folder: Path, flavors: list[dict[str, Any]]) -> set[Path]:
    """What a flavor's loader opens, wherever that lies."""
    named = {folder / value for flavor in flavors for key in OPENED if isinstance(value := flavor.get(key), str)}
    return {path for path in named if path.is_file()}


def _untrusted(path: Path, uri: str) -> set[str]:
    import skops.io

    try:
        return set(skops.io.get_untrusted_types(file=path))
    except Exception as error:  # a crafted or cut-off file makes its parser raise almost anything
        said = f"{type(error).__name__}: {error}"
        raise ArtifactUnusable(
            f"{path.name} of the model {uri} is no skops file that can be looked into ({said}).",
            "Log the model again; it was not loaded.",
        ) from error


def _is_skops(path: Path) -> bool:
    return SKOPS_SCHEMA in _names_in_zip(path)


def _is_pickle(path: Path) -> bool:
    """Bytes decide, and the name where the bytes are compressed; some formats are archives with a pickle inside."""
    with path.open("rb") as stream:
        start = stream.read(2)
    if start[:1] == PICKLE_MAGIC and start[1:] and start[1] in PICKLE_PROTOCOLS:
        return True
    return path.suffix in PICKLE_SUFFIXES or any(name.endswith(PICKLE_SUFFIXES) for name in _names_in_zip(path))


def _names_in_zip(path: Path) -> tuple[str, ...]:
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return ()
