"""Reading the data that a gate judges: Parquet or CSV, from a local file. Nothing is ever unpickled."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from services.errors import ArtifactUnusable, BadInput
from services.rules.domain import Component, ComponentKind
from services.work.gates.task import GateTask, quoted

PARQUET_MAGIC = b"PAR1"
GZIP_MAGIC = b"\x1f\x8b"
PICKLE_MAGIC = b"\x80"
FILE_SCHEMES = ("", "file")
UNREADABLE = (
    pa.ArrowException,
    OSError,
    EOFError,
    zlib.error,
    csv.Error,
    pd.errors.ParserError,
    pd.errors.ParserWarning,  # said of rows with more fields than the header, which pandas would cut short
)


@dataclass(frozen=True)
class Table:
    """Data as it was read. `digest` is the sha256 of exactly the bytes that were parsed into `frame`."""

    which: str  # training or evaluation
    name: str
    frame: pd.DataFrame
    digest: str
    from_csv: bool = False


@dataclass(frozen=True)
class Source:
    """Where the data lies, and the digest it must have (empty where the bundle does not pin one)."""

    which: str
    name: str
    path: Path
    digest: str = ""


def find(task: GateTask, which: str) -> Source | str:
    """Where the `training` or `evaluation` data lies, or a clause that says why there is none to judge on.

    Raises BadInput where the run names two.
    """
    wanted = task.data.get(which) or {}
    if wanted.get("path"):
        return Source(which, str(wanted["path"]), Path(task.directory, wanted["path"]))
    if not wanted.get("input"):
        return f"the policy names no {which} data"
    return _recorded(task, wanted["input"], which)


def find_live(task: GateTask, which: str) -> Source | str:
    """Where the data that the live bundle recorded lies; a path in the policy may have other data by now.

    Raises BadInput where its run names two.
    """
    wanted = task.data.get(which) or {}
    return _recorded(task.of_live(), wanted.get("input") or which, which)


def read_live(task: GateTask, source: Source) -> Table:
    """As `read`; its errors say that it is the live bundle's data, which may be gone for good."""
    try:
        return read(source)
    except ArtifactUnusable as error:
        raise ArtifactUnusable(
            f"The data of {task.live_ref}, which is live, cannot be compared with. {error.message}",
            'Put the recorded file back; where it is gone for good, write mode = "shadow" for this gate until another '
            "bundle is live.",
        ) from error


def _recorded(task: GateTask, context: str, which: str) -> Source | str:
    found = [d for d in task.of_kind(ComponentKind.DATASET) if d.details.get("context") == context]
    if not found:
        return f"the bundle has no dataset with the context {context!r}"
    if len(found) > 1:
        raise BadInput(
            f"The run logged {len(found)} datasets as {context!r}: {quoted([d.name for d in found])}.",
            f"Give each its own context, or name the file in data.{which}.path.",
        )
    return _source_of(found[0], which, task.directory)


def _source_of(dataset: Component, which: str, directory: str) -> Source | str:
    if not dataset.uri:
        return f"where the dataset {dataset.name!r} lies is not known"
    parsed = urlparse(dataset.uri)
    if parsed.scheme not in FILE_SCHEMES:
        return f"the dataset {dataset.name!r} lies at {dataset.uri}, and only local files can be read"
    path = unquote(parsed.path) if parsed.scheme == "file" else dataset.uri
    pinned = dataset.digest if dataset.digest.startswith("sha256:") else ""
    return Source(which, dataset.name, Path(directory, path), pinned)


def read(source: Source) -> Table:
    """Read the file once, check its digest and parse those bytes. Raises ArtifactUnusable, with what to do."""
    remedy = f"Put the file back, or point data.{source.which} at another and apply the policy again."
    try:
        raw = source.path.read_bytes()
    except FileNotFoundError as error:
        raise ArtifactUnusable(f"The {source.which} data is gone: there is no file {source.path}.", remedy) from error
    except OSError as error:
        raise ArtifactUnusable(
            f"The {source.which} data {source.path} cannot be read: {error.strerror}.", remedy
        ) from error
    digest = "sha256:" + hashlib.sha256(raw).hexdigest()
    if source.digest and digest != source.digest:
        raise ArtifactUnusable(
            f"The {source.which} data changed since the bundle was made: {source.path} is no longer what was recorded.",
            "Put the recorded file back, or log the model again with the new data.",
        )
    frame, from_csv = parse(raw, str(source.path))
    if not len(frame):
        raise ArtifactUnusable(f"The {source.which} data {source.name} has no rows.", "Check how the file is written.")
    return Table(source.which, source.name, frame, digest, from_csv)


def parse(raw: bytes, name: str) -> tuple[pd.DataFrame, bool]:
    """The frame, and whether it came from CSV. What the bytes are decides, not what the file is called.

    Column names stay as they are written, doubles and blanks included. Raises ArtifactUnusable.
    """
    try:
        if raw.startswith(PARQUET_MAGIC):
            return _named_in_text(pq.ParquetFile(io.BytesIO(raw)).read().to_pandas()), False
        text = (gzip.decompress(raw) if raw.startswith(GZIP_MAGIC) else raw).decode("utf-8-sig")
        if not raw.startswith(PICKLE_MAGIC) and "\0" not in text:
            return _from_csv(text), True
    except UnicodeDecodeError:
        pass  # binary, and not Parquet: said below
    except UNREADABLE as error:
        first = str(error).strip().splitlines()[0]
        raise ArtifactUnusable(f"{name} cannot be read: {first}.", "Write it again; it may be cut off.") from error
    raise ArtifactUnusable(
        f"{name} is neither Parquet nor CSV. Headgate opens nothing else, pickles least of all.",
        "Write the data with DataFrame.to_parquet or DataFrame.to_csv.",
    )


def _from_csv(text: str) -> pd.DataFrame:
    first = text.split("\n", 1)[0]
    delimiter = "\t" if first.count("\t") > first.count(",") else ","
    names = next(csv.reader(io.StringIO(text), delimiter=delimiter), [])
    if not names:
        return pd.DataFrame()
    # pandas would rename a doubled column to `name.1`, and nobody would ever see the double.
    places = range(len(names))
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        frame = pd.read_csv(
            io.StringIO(text), sep=delimiter, names=places, skiprows=1, index_col=False, low_memory=False
        )
    frame.columns = pd.Index(names)
    return frame


def _named_in_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns numbered by pandas get names, since a policy can only write names."""
    frame.columns = pd.Index([str(name) for name in frame.columns])
    return frame
