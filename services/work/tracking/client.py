"""The connection to MLflow, and what its errors mean.

Whatever MLflow raises becomes one of four: RegistryUnreachable (try again), NotFound (what was asked about is not
there), RegistryRefused (a definite no), ArtifactUnusable (an artifact is gone).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from services.errors import HeadgateError, NotFound, RegistryRefused, RegistryUnreachable
from services.settings import Settings

TRY_AGAIN_CODES = frozenset(
    {
        "INTERNAL_ERROR",  # what MLflow's client makes of a refused connection and of a timeout
        "TEMPORARILY_UNAVAILABLE",
        "DEADLINE_EXCEEDED",
        "REQUEST_LIMIT_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "CANCELLED",
        "ABORTED",
    }
)
MISSING_CODES = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"})
AT_ONCE = 8

Answer = TypeVar("Answer")


class Connection:
    """One MLflow, at the address of the settings. Opening it asks nothing."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.uri = settings.tracking_uri

    @cached_property
    def client(self) -> MlflowClient:
        self._look_at_file()
        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def ping(self) -> None:
        """Raises RegistryUnreachable where MLflow does not answer."""
        with self.asking("MLflow"):
            self.client.search_registered_models(max_results=1)

    @contextmanager
    def asking(self, subject: str, writes: bool = False) -> Iterator[None]:
        """Around every call. `subject` is what is asked about; a write to what is missing is refused, not NotFound."""
        use_globally(self.uri)
        try:
            yield
        except HeadgateError:
            raise
        except MlflowException as error:
            raise self._meaning(error, subject, writes) from error
        except (requests.RequestException, SQLAlchemyError, ConnectionError, TimeoutError) as error:
            raise self._unreachable(str(error)) from error

    def together(self, calls: Sequence[Callable[[], Answer]]) -> list[Answer]:
        """The answers, in the order of the calls. A server is asked all at once; an embedded MLflow one by one, since
        its file has one writer. Raises what the first of the calls that failed raised, when all have ended.
        """
        if self.settings.embedded_tracking or len(calls) < 2:
            return [call() for call in calls]
        with ThreadPoolExecutor(min(len(calls), AT_ONCE), thread_name_prefix="mlflow") as pool:
            asked = [pool.submit(call) for call in calls]
        return [one.result() for one in asked]

    def experiment(self, name: str) -> str:
        """The id of the experiment of this name, made where there is none. Embedded, its files stay in the home."""
        with self.asking(f"experiment {name!r}", writes=True):
            found = self.client.get_experiment_by_name(name)
            if found is None:
                try:
                    return str(self.client.create_experiment(name, artifact_location=self._location(name)))
                except MlflowException as error:
                    found = self.client.get_experiment_by_name(name)  # somebody else was faster
                    if found is None:
                        raise error
            return str(found.experiment_id)

    def _location(self, experiment: str) -> str | None:
        """Left to itself, an embedded MLflow puts files below whatever directory the process was started in."""
        if not self.settings.embedded_tracking:
            return None
        return (self.settings.artifact_root / _folder_name(experiment)).absolute().as_uri()

    def _look_at_file(self) -> None:
        """MLflow tries a damaged file for a minute and a half; ask SQLite itself first."""
        if not self.uri.startswith("sqlite:///"):
            return
        path = Path(self.uri.removeprefix("sqlite:///"))
        if not path.exists():
            return
        try:
            with sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=3) as connection:
                connection.execute("PRAGMA schema_version").fetchone()
        except sqlite3.Error as error:
            raise RegistryUnreachable(
                f"MLflow's database {path} cannot be read ({error}).",
                "Check its permissions, or restore it from a backup; Headgate changes nothing in it.",
            ) from error

    def _meaning(self, error: MlflowException, subject: str, writes: bool) -> HeadgateError:
        said = first_line(error.message)
        if error.error_code in TRY_AGAIN_CODES:
            return self._unreachable(said)
        if error.error_code in MISSING_CODES and not writes:
            return NotFound(
                f"MLflow at {shown(self.uri)} does not know {subject} ({said}).",
                "Check the name and the version, and that MLFLOW_TRACKING_URI is the server you mean.",
            )
        return RegistryRefused(
            f"MLflow at {shown(self.uri)} refused {subject} ({said}).",
            "Trying again will not help; change what it names, or the rights of the account that asks.",
        )

    def _unreachable(self, said: str) -> RegistryUnreachable:
        return RegistryUnreachable(
            f"MLflow at {shown(self.uri)} does not answer ({first_line(said)}).",
            "Check MLFLOW_TRACKING_URI and that the server runs, then try again.",
        )


def use_globally(uri: str) -> None:
    """MLflow resolves `models:/m-...` through its global address, whatever address the client was given.

    Its setter also writes the environment, from which later settings would be read: that is put back.
    """
    if mlflow.get_tracking_uri() == uri and mlflow.get_registry_uri() == uri:
        return
    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    if before is None:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    else:
        os.environ["MLFLOW_TRACKING_URI"] = before


def first_line(text: str) -> str:
    line = (text.strip().splitlines() or [""])[0].rstrip(".")
    return line if len(line) <= 300 else line[:300] + "…"


def shown(uri: str) -> str:
    """An address without the name and password that may stand in it."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return uri
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


def _folder_name(experiment: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in experiment)[:80] or "_"
