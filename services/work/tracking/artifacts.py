"""A model's folder as facts: its digest, its signature, its environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflow.models import Model

from services.errors import ArtifactUnusable
from services.work import fingerprints
from services.work.tracking.facts import ModelFiles

# Written by MLflow when it downloads by name and version: part of the download, not of the model.
LEAVE_OUT = ("registered_model_meta",)
ENVIRONMENT_FILES = ("python_env.yaml", "requirements.txt")


def read(folder: Path, uri: str) -> ModelFiles:
    """Raises ArtifactUnusable where the folder is gone, holds no MLmodel, or cannot be read."""
    if not (folder / "MLmodel").is_file():
        raise gone(uri, "there is no MLmodel file")
    try:
        return _facts(folder)
    except Exception as error:  # a damaged MLmodel makes MLflow's parser raise almost anything
        raise gone(uri, f"{type(error).__name__}: {error}") from error


def digest_of(folder: Path) -> str:
    """Of the whole folder, as it was recorded with the bundle."""
    return fingerprints.of_files(folder, fingerprints.files_in(folder, LEAVE_OUT))


def gone(uri: str, said: str) -> ArtifactUnusable:
    return ArtifactUnusable(
        f"The artifact of {uri} is gone or damaged ({said}).",
        "Restore it in MLflow's artifact store, or log and register the model again.",
    )


def _facts(folder: Path) -> ModelFiles:
    model = Model.load(str(folder))
    pyfunc = model.flavors.get("python_function") or {}
    files = fingerprints.files_in(folder, LEAVE_OUT)
    environment = [path for path in files if path.parent == folder and path.name in ENVIRONMENT_FILES]
    requirements = folder / "requirements.txt"
    return ModelFiles(
        digest=fingerprints.of_files(folder, files),
        environment_digest=fingerprints.of_files(folder, environment) if environment else "",
        requirements=requirements.read_text() if requirements.is_file() else "",
        signature=_signature(model.signature),
        size_bytes=sum(path.stat().st_size for path in files),
        flavors=tuple(sorted(model.flavors)),
        predicts=str(pyfunc.get("predict_fn") or ""),
        python=str(pyfunc.get("python_version") or ""),
    )


def _signature(signature: Any) -> dict[str, Any] | None:
    if signature is None:
        return None
    return {"inputs": _columns(signature.inputs), "outputs": _columns(signature.outputs)}


def _columns(schema: Any) -> list[dict[str, Any]]:
    return [
        {
            "name": column.get("name", ""),
            "type": _tensor(column["tensor-spec"]) if column["type"] == "tensor" else column["type"],
            "required": column.get("required", True),
        }
        for column in (schema.to_dict() if schema else ())
    ]


def _tensor(spec: dict[str, Any]) -> str:
    return f"{spec['dtype']}{list(spec['shape'])}".replace(" ", "")
