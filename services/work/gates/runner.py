"""Runs one gate in one child process, under a time limit and a memory limit.

Children come from a fork server that has the libraries loaded: the first costs the import (3 to 7 s), the next ones
some milliseconds. `warm_up` starts it early. Works under a worker's threads, the command line and pytest alike.

What a child sees of the environment: PATH, language and time zone; the variables with which MLflow, object storage
and proxies are reached (`CARRIED`, `CARRIED_PREFIXES`); HOME and TMPDIR are a directory of its own, which is removed
afterwards; one thread a library. Credentials that lie in files below the real home are therefore not found: give them
as variables. A child is the same user as the worker: files are not isolated.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import psutil

from services import clock
from services.errors import Fenced, HeadgateError
from services.rules.domain import GateOutcome
from services.work.gates import child
from services.work.gates.task import GateTask, Progress, errored

CARRIED = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
)
CARRIED_PREFIXES = ("MLFLOW_", "AWS_", "AZURE_", "GOOGLE_")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# What the fork server imports: all that a usual gate needs. Names only: no room but tracking imports MLflow.
PRELOADED = [
    "services.work.gates.preload",
    "services.work.gates.child",
    "services.work.tracking",
    "services.work.gates.evaluation",
    "services.work.gates.baseline",
    "services.work.gates.schema",
    "services.work.gates.drift",
    "services.work.gates.prompt",
    "mlflow.pyfunc",
    "mlflow.sklearn",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "skops.io",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.pipeline",
]
LOOK_SECONDS = 0.1  # how often memory is looked at
ASK_SECONDS = 1.0  # how often the lease is asked about
MIB = 1 << 20
_starting = threading.Lock()


def run(
    task: GateTask,
    *,
    seconds: float,
    memory_mib: int,
    progress: Progress,
    still_mine: Callable[[], bool] | None = None,
) -> GateOutcome:
    """Judge `task` in a child process and return what it found.

    The limits are `seconds` of wall time and `memory_mib` MiB of resident memory, of the child and what it starts.
    Whatever goes wrong in there (a limit, a crash, an exception) is an errored outcome that says so. `still_mine` is
    asked about once a second; when it says no the child is ended and Fenced is raised. The first call waits for the
    fork server's imports before it asks.
    """
    return supervise(
        child.judge_of_kind, task, seconds=seconds, memory_mib=memory_mib, progress=progress, still_mine=still_mine
    )


def supervise(
    judge: child.Judge,
    task: GateTask,
    *,
    seconds: float,
    memory_mib: int,
    progress: Progress,
    still_mine: Callable[[], bool] | None = None,
) -> GateOutcome:
    """`run`, with the judge named: any function that can be imported by its name."""
    warm_up()
    task = replace(task, tracking_uri=_from_anywhere(task.tracking_uri))
    with tempfile.TemporaryDirectory(prefix="headgate-gate-", ignore_cleanup_errors=True) as directory:
        surroundings = child.Surroundings(directory, _environment(directory, os.environ))
        ours, theirs = multiprocessing.Pipe(duplex=False)
        context = multiprocessing.get_context("forkserver")
        process = context.Process(target=child.main, args=(judge, task, surroundings, theirs), daemon=True)
        with ours:
            try:
                process.start()
            except Exception as error:  # unpicklable arguments, or a fork server that cannot import what it needs
                return errored(_not_started(error))
            finally:
                theirs.close()
            try:
                return _Watch(process, ours, seconds, memory_mib, Path(directory)).outcome(progress, still_mine)
            finally:
                _end(process)


def warm_up() -> None:
    """Start the fork server, which then imports on its own time. Returns at once; harmless when it runs already."""
    # The search path is handed on so that the server finds the same `services` as this process, and not a namesake in
    # the working directory; the number of threads because the libraries read it when they are loaded.
    passed_on = {**ONE_THREAD, "PYTHONPATH": _search_path(), "PYTHONSAFEPATH": "1"}
    with _starting, _passed_on(passed_on):
        multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
        forkserver.ensure_running()


class _Watch:
    """Waits for a child's answer and looks after its limits."""

    def __init__(
        self, process: ForkServerProcess, pipe: Connection, seconds: float, memory_mib: int, directory: Path
    ) -> None:
        self.process, self.pipe, self.directory = process, pipe, directory
        self.seconds, self.memory_mib = seconds, memory_mib
        self.ends_at = clock.monotonic() + seconds
        self.asked_at = clock.monotonic()

    def outcome(self, progress: Progress, still_mine: Callable[[], bool] | None) -> GateOutcome:
        while True:
            if wait([self.pipe, self.process.sentinel], timeout=LOOK_SECONDS):
                answer = self._next_message()
                if isinstance(answer, GateOutcome):
                    return answer
                progress(answer)
            if still_mine and clock.monotonic() - self.asked_at >= ASK_SECONDS:
                self.asked_at = clock.monotonic()
                if not still_mine():
                    raise Fenced(
                        "This gate run was taken over by another worker.", "Nothing is lost: that one judges it."
                    )
            if clock.monotonic() > self.ends_at:
                return self._errored(
                    f"The gate ran longer than its limit of {self.seconds:g} s and was stopped.",
                    "Judge fewer rows or a faster model, or raise HEADGATE_GATE_SECONDS.",
                )
            if (used := _resident_mib(self.process.pid)) > self.memory_mib:
                return self._errored(
                    f"The gate used {used:,.0f} MiB of memory, of {self.memory_mib:,} allowed, and was stopped.",
                    "Judge fewer rows or a smaller model, or raise HEADGATE_GATE_MEMORY.",
                )

    def _next_message(self) -> str | GateOutcome:
        try:
            return child.decoded(self.pipe.recv_bytes())
        except EOFError:
            self.process.join(5)
            return self._errored(
                f"The gate's process ended without an answer ({_how(self.process.exitcode)}).",
                "Run the gate again; if it happens again, the model or a library of it ends its process.",
            )
        except (ValueError, KeyError, TypeError, OSError) as error:
            return self._errored(f"The gate's process answered nonsense ({error}).", "Run the gate again.")

    def _errored(self, message: str, remedy: str) -> GateOutcome:
        try:
            printed = (self.directory / child.OUTPUT).read_text(errors="replace").strip()
        except OSError:
            printed = ""  # it ended before it settled in
        return errored(HeadgateError(message, remedy), {"output": printed[-4000:]} if printed else {})


def _end(process: ForkServerProcess) -> None:
    """End the child and whatever it started, by their group, and collect it."""
    if process.pid is None:
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join(5)


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"ended by {signal.Signals(-code).name}"
    return f"exit code {code}"


def _resident_mib(pid: int | None) -> float:
    """Of the child and what it started, in MiB. 0 where it is gone already, which the pipe tells."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0.0
    total = 0
    for process in family:
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total / MIB


def _not_started(error: Exception) -> HeadgateError:
    said = str(error).strip().splitlines()
    return HeadgateError(
        f"The gate's process could not be started ({type(error).__name__}{': ' + said[0][:200] if said else ''}).",
        "Run `headgate doctor`, then run the gate again.",
    )


def _environment(directory: str, environ: os._Environ[str] | dict[str, str]) -> dict[str, str]:
    """The scrubbed environment of a child whose own directory this is."""
    carried = {name: value for name, value in environ.items() if name in CARRIED or name.startswith(CARRIED_PREFIXES)}
    return {"LANG": "C.UTF-8", **carried, **ONE_THREAD, "HOME": directory, "TMPDIR": directory}


def _from_anywhere(tracking_uri: str) -> str:
    """A relative SQLite file or folder made absolute, since the child works in a directory of its own."""
    prefix = "sqlite:///"
    if tracking_uri.startswith(prefix):
        return f"{prefix}{os.path.abspath(tracking_uri.removeprefix(prefix))}"
    return tracking_uri if not tracking_uri or ":" in tracking_uri else os.path.abspath(tracking_uri)


def _search_path() -> str:
    """Where this process finds its modules."""
    return os.pathsep.join(path or os.getcwd() for path in sys.path)


@contextmanager
def _passed_on(variables: dict[str, str]) -> Iterator[None]:
    """Set for the moment in which the fork server starts, which takes its environment from this process."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
