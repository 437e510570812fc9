"""Judges that misbehave, for the runner's tests. In a module of their own: a child imports them by name."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from services.errors import ArtifactUnusable
from services.rules.domain import GateOutcome, Verdict
from services.work.gates.task import GateTask, Progress


def surroundings(_task: GateTask, progress: Progress) -> GateOutcome:
    progress("looking around")
    sys.stdout.write("a library that prints")
    Path("left-behind.txt").write_text("x")
    evidence = {
        "environment": dict(os.environ),
        "directory": os.getcwd(),
        "pid": os.getpid(),
        "main": getattr(sys.modules.get("__mp_main__"), "__file__", None),
        "loaded": [name for name in ("mlflow", "pandas", "sklearn", "skops") if name in sys.modules],
    }
    progress("done looking")
    return GateOutcome(Verdict.PASSED, "All is well.", evidence, ("a warning",), "sha256:0")


def sleep(task: GateTask, progress: Progress) -> GateOutcome:
    """Starts a process of its own, says both identifiers, and does not end."""
    with subprocess.Popen(["sleep", "60"]) as started:
        progress(f"{os.getpid()} {started.pid} {os.getcwd()}")
        time.sleep(60)
    return GateOutcome(Verdict.PASSED, "too late")


def crash(_task: GateTask, _progress: Progress) -> GateOutcome:
    os.write(2, b"last words\n")
    os._exit(7)


def fault(_task: GateTask, _progress: Progress) -> GateOutcome:
    os.kill(os.getpid(), 11)
    return GateOutcome(Verdict.PASSED, "never")


def leave(_task: GateTask, _progress: Progress) -> GateOutcome:
    sys.exit("the model has had enough")


def grow(_task: GateTask, _progress: Progress) -> GateOutcome:
    kept = []
    for _ in range(600):
        kept.append(b"x" * (20 << 20))
        time.sleep(0.01)
    return GateOutcome(Verdict.PASSED, str(len(kept)))


def raise_something(_task: GateTask, _progress: Progress) -> GateOutcome:
    raise KeyError("no such column\nand a second line")


def raise_in_words(_task: GateTask, _progress: Progress) -> GateOutcome:
    raise ArtifactUnusable("The file is gone.", "Put it back.")


def answer_a_set(_task: GateTask, _progress: Progress) -> GateOutcome:
    return GateOutcome(Verdict.PASSED, "odd", {"columns": {1, 2}})


def answer_not_a_number(_task: GateTask, _progress: Progress) -> GateOutcome:
    return GateOutcome(Verdict.PASSED, "odd", {"value": float("nan")})


def answer_much(_task: GateTask, _progress: Progress) -> GateOutcome:
    return GateOutcome(Verdict.PASSED, "much", {"text": "x" * 3_000_000})
