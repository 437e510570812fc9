"""A bundle's data: what the run says it used, or the files that the policy names, each with our own digest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet

from services.rules.domain import Component, ComponentKind, Gap
from services.rules.policy import Policy
from services.work import fingerprints
from services.work.tracking import DatasetInput, Run

CUTOFF_TAG = "headgate.data_cutoff"
TRAINING, EVALUATION = "training", "evaluation"


@dataclass(frozen=True)
class _Data:
    name: str
    context: str
    where: str
    mlflow_digest: str = ""
    rows: int | None = None
    columns: dict[str, str] | None = None


def components_of(policy: Policy, run: Run | None, directory: Path) -> tuple[list[Component], list[Gap]]:
    """The dataset components, and what is missing of them. Relative paths start at the policy's directory.

    A file that the policy names takes the place of the run's inputs of that context: it is what the gates judge on.
    """
    sources = {TRAINING: policy.data.training, EVALUATION: policy.data.evaluation}
    files = {context: source.path for context, source in sources.items() if source and source.path}
    logged = [_logged(entry) for entry in run.inputs if entry.context not in files] if run else []
    named = [_Data(name=path, context=context, where=path) for context, path in files.items()]
    trains = policy.data.training.input or TRAINING
    components, gaps = [], []
    for name, data in _distinct([*named, *logged], first=trains):
        component, gap = _component(name, data, directory, _cutoff(run) if data.context == trains else "")
        components.append(component)
        gaps += [gap] if gap else []
    if policy.components.model:
        gaps += _missing(components, run, trains)
    return components, gaps


def _logged(entry: DatasetInput) -> _Data:
    return _Data(entry.name, entry.context, entry.source, entry.digest, entry.rows, entry.columns)


def _distinct(found: Iterable[_Data], first: str) -> list[tuple[str, _Data]]:
    """Each with a name of its own, the training data's first: `flights`, then `flights (evaluation)`."""
    ordered = sorted(
        _without_repeats(found), key=lambda data: (data.context != first, data.context, data.name, data.where)
    )
    named: dict[str, _Data] = {}
    for data in ordered:
        wanted = data.name or "dataset"
        candidates = [wanted, f"{wanted} ({data.context or 'no context'})"]
        candidates += [f"{candidates[1]} {number}" for number in range(2, len(ordered) + 2)]
        named[next(name for name in candidates if name not in named)] = data
    return list(named.items())


def _without_repeats(found: Iterable[_Data]) -> list[_Data]:
    """Without repeats: the same data logged twice in the same context is one."""
    return list({(data.name, data.context, data.where, data.mlflow_digest): data for data in found}.values())


def _component(name: str, data: _Data, directory: Path, cutoff: str) -> tuple[Component, Gap | None]:
    path = _local(data.where, directory)
    digest, reason = _digest(path, data.where)
    rows, columns = data.rows, data.columns
    if columns is None and path is not None and digest:
        rows, columns = _table(path)
    details: dict[str, Any] = {"context": data.context, "rows": rows, "columns": columns or {}}
    if cutoff:
        details["cutoff"] = cutoff
    if data.mlflow_digest:
        details["mlflow_digest"] = data.mlflow_digest
    component = Component(
        ComponentKind.DATASET,
        name,
        # Where the bytes cannot be read, MLflow's digest still tells one table from another.
        version=data.mlflow_digest,
        uri=str(path) if path is not None and digest else data.where,
        digest=digest,
        details=details,
    )
    return component, Gap("unreadable-data", f"The data {name!r} cannot be read here: {reason}.") if reason else None


def _local(where: str, directory: Path) -> Path | None:
    if not where or "://" in where:
        return None
    return (directory / Path(where).expanduser()).resolve()


def _digest(path: Path | None, where: str) -> tuple[str, str]:
    """Our digest and "", or "" and the reason why there is none."""
    if path is None:
        return "", f"{where} is not a local file" if where else "MLflow does not say where it lies"
    if not path.exists():
        return "", f"{path} does not exist"
    try:
        return fingerprints.of_path(path), ""
    except OSError as error:
        return "", f"{path}: {error.strerror or error}"


def _table(path: Path) -> tuple[int | None, dict[str, str]]:
    """Rows and columns of a file that no run described; of other kinds than Parquet and CSV they are not known."""
    try:
        if path.suffix == ".parquet":
            about = pyarrow.parquet.ParquetFile(path)
            return about.metadata.num_rows, {field.name: str(field.type) for field in about.schema_arrow}
        if path.name.endswith((".csv", ".csv.gz")):
            frame = pd.read_csv(path)
            return len(frame), {str(name): str(kind) for name, kind in frame.dtypes.items()}
    except (ValueError, OSError):
        return None, {}  # the gates that read it will say what is wrong with it
    return None, {}


def _cutoff(run: Run | None) -> str:
    return run.tags.get(CUTOFF_TAG, "") if run else ""


def _missing(components: list[Component], run: Run | None, trains: str) -> list[Gap]:
    if not any(component.details["context"] == trains for component in components):
        if run is None:
            return [Gap("no-dataset", "The model version names no run, so its training data is not known.")]
        return [Gap("no-dataset", f"The run logged no dataset input with the context {trains!r}.")]
    if not _cutoff(run):
        return [Gap("no-cutoff", f"The run has no tag {CUTOFF_TAG}: up to when the data reaches is not known.")]
    return []
