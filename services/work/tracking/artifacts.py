"""A model's folder as facts: its digest, its signature, its environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from services.errors import ArtifactUnusable
from services.work import fingerprints
from services.work.tracking.facts import ModelFiles

# Written by MLflow when it downloads by name and version: part of the download, not of the model.
LEAVE_OUT = ("registered_model_meta",)
ENVIRONMENT_FILES = ("python_env.yaml", "requirements.txt")


def read(folder: Path, uri: str) -> ModelFiles:
    """Raises ArtifactUnusable where the folder is gone, holds no MLmodel, or cannot be read."""
    described = folder / "MLmodel"
    if not described.is_file():
        raise gone(uri, "there is no MLmodel file")
    try:
        about = yaml.safe_load(described.read_text())
        files = fingerprints.files_in(folder, LEAVE_OUT)
        environment = [path for path in files if path.parent == folder and path.name in ENVIRONMENT_FILES]
        return ModelFiles(
            digest=fingerprints.of_files(folder, files),
            environment_digest=fingerprints.of_files(folder, environment) if environment else "",
            requirements=_text(folder / "requirements.txt"),
            signature=_signature(about),
            size_bytes=sum(path.stat().st_size for path in files),
            flavors=tuple(sorted(about.get("flavors") or {})),
            predicts=str(_pyfunc(about).get("predict_fn") or ""),
            python=_python(folder / "python_env.yaml"),
        )
    except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
        raise gone(uri, f"{type(error).__name__}: {error}") from error


def gone(uri: str, said: str) -> ArtifactUnusable:
    return ArtifactUnusable(
        f"The artifact of {uri} is gone or damaged ({said}).",
        "Restore it in MLflow's artifact store, or log and register the model again.",
    )


def _signature(about: dict[str, Any]) -> dict[str, Any] | None:
    said = about.get("signature")
    if not said:
        return None
    return {side: _columns(said.get(side)) for side in ("inputs", "outputs")}


def _columns(text: str | None) -> list[dict[str, Any]]:
    columns = yaml.safe_load(text) if text else []
    return [
        {
            "name": column.get("name", ""),
            "type": column["type"] if column["type"] != "tensor" else _tensor(column["tensor-spec"]),
            "required": column.get("required", True),
        }
        for column in columns
    ]


def _tensor(spec: dict[str, Any]) -> str:
    return f"{spec['dtype']}{spec['shape']}".replace(" ", "")


def _pyfunc(about: dict[str, Any]) -> dict[str, Any]:
    return (about.get("flavors") or {}).get("python_function") or {}


def _python(path: Path) -> str:
    said = yaml.safe_load(_text(path)) or {}
    return str(said.get("python", ""))


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""
