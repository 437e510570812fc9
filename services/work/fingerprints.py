"""Our own digests of bytes: the whole of a file or a folder, where MLflow's cover the first 10,000 rows of a table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

CHUNK = 1 << 20
BYTECODE = "__pycache__"


def of_path(path: Path, leave_out: Iterable[str] = ()) -> str:
    """`sha256:` and 64 digits, of a file's bytes or of a folder's sorted walk. Raises OSError if it cannot be read."""
    return of_folder(path, leave_out) if path.is_dir() else of_file(path)


def of_file(path: Path) -> str:
    hashed = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            hashed.update(chunk)
    return f"sha256:{hashed.hexdigest()}"


def of_folder(folder: Path, leave_out: Iterable[str] = ()) -> str:
    """Over each file's relative path and digest, so that a renamed file is a different folder."""
    return of_files(folder, files_in(folder, leave_out))


def of_files(folder: Path, files: Iterable[Path]) -> str:
    hashed = hashlib.sha256()
    for path in files:
        hashed.update(f"{path.relative_to(folder).as_posix()}\0{of_file(path)}\n".encode())
    return f"sha256:{hashed.hexdigest()}"


def files_in(folder: Path, leave_out: Iterable[str] = ()) -> list[Path]:
    """Every file below the folder, sorted by its relative path; `leave_out` are names of files and folders.

    Bytecode is never among them: Python writes it beside code that it runs, which changes nothing of that.
    """
    left_out = frozenset(leave_out) | {BYTECODE}
    found = (
        path for path in folder.rglob("*") if path.is_file() and left_out.isdisjoint(path.relative_to(folder).parts)
    )
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())
