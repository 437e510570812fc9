"""What runs inside a gate's child process. Its parent, `runner`, watches it and ends it.

The child answers in JSON over its pipe, never in pickles: the model's own code runs in here, and the worker must not
execute anything that it wrote. It is the same user, though, and sees the same files.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from services.errors import HeadgateError
from services.rules.domain import GateOutcome, Verdict
from services.work.gates.task import GateTask, Progress, errored

Judge = Callable[[GateTask, Progress], GateOutcome]
OUTPUT = "output.txt"  # what the child and its libraries print, in its own directory


@dataclass(frozen=True)
class Surroundings:
    """What a child has: a directory that is removed after it, and these environment variables and no others."""

    directory: str
    environment: dict[str, str]


def judge_of_kind(task: GateTask, progress: Progress) -> GateOutcome:
    """Judge with the module that bears the name of the gate's kind."""
    module = importlib.import_module(f"services.work.gates.{task.kind}")
    outcome: GateOutcome = module.judge(task, progress)
    return outcome


def main(judge: Judge, task: GateTask, surroundings: Surroundings, pipe: Connection) -> None:
    """The child's whole life: settle in, judge, answer."""
    _settle(surroundings)

    def progress(text: str) -> None:
        pipe.send_bytes(json.dumps({"progress": text}).encode())

    outcome = answer(judge, task, progress)
    try:
        message = _encoded(outcome)
    except (TypeError, ValueError) as error:
        message = _encoded(errored(HeadgateError(f"The gate's evidence is not plain JSON ({error}).", _REPORT)))
    pipe.send_bytes(message)
    pipe.close()


def answer(judge: Judge, task: GateTask, progress: Progress) -> GateOutcome:
    """What the judge says; an errored outcome, in words, where it raises anything at all."""
    try:
        return judge(task, progress)
    except HeadgateError as error:
        return errored(error)
    except MemoryError:
        return errored(
            HeadgateError("The gate ran out of memory.", "Judge fewer rows, or give the worker more memory.")
        )
    except (Exception, SystemExit) as error:  # a model's own code may raise anything, or try to leave
        said = str(error).strip().splitlines()
        told = HeadgateError(
            f"The gate stopped with {type(error).__name__}{': ' + said[0][:300] if said else ''}.",
            "The evidence has the traceback; correct the model or its data, then run the gate again.",
        )
        return errored(told, {"traceback": traceback.format_exc()[-4000:]})


def decoded(message: bytes) -> str | GateOutcome:
    """The parent's side: a line of progress, or the outcome. Raises ValueError for anything else."""
    value = json.loads(message)
    if "progress" in value:
        return str(value["progress"])
    fields = {**value["outcome"], "verdict": Verdict(value["outcome"]["verdict"])}
    return GateOutcome(**{**fields, "warnings": tuple(fields["warnings"])})


_REPORT = "Run the gate again; if it stays, look at what the model returns."


def _encoded(outcome: GateOutcome) -> bytes:
    fields: dict[str, Any] = {
        "verdict": outcome.verdict.value,
        "summary": outcome.summary,
        "evidence": outcome.evidence,
        "warnings": list(outcome.warnings),
        "data_digest": outcome.data_digest,
    }
    return json.dumps({"outcome": fields}, allow_nan=False).encode()


def _settle(surroundings: Surroundings) -> None:
    os.setsid()  # a group of its own, so that what a model starts ends with it
    threading.Thread(target=_end_with_parent, args=(surroundings.directory,), daemon=True).start()
    os.environ.clear()
    os.environ.update(surroundings.environment)
    os.chdir(surroundings.directory)
    sys.dont_write_bytecode = True  # beside a model's own code it would change the artifact
    tempfile.tempdir = None  # the fork server may have chosen one already
    output = os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    faulthandler.enable()


def _end_with_parent(directory: str) -> None:
    """The guard: the pipe from the parent reads end-of-file when the parent is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        shutil.rmtree(directory, ignore_errors=True)
        os.killpg(0, signal.SIGKILL)
