"""Running the program for a test: its commands, copies of its sample, and its dashboard."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


def headgate(*arguments: str, home: Path) -> str:
    """Run the program and give what it printed."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "headgate"), *arguments],
        env={**os.environ, "HEADGATE_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def demo_copy(demo: Path, home: Path) -> Path:
    """A sample to change. Its models' files stay where they were built."""
    return Path(shutil.copytree(demo, home, ignore=shutil.ignore_patterns("mlartifacts")))


@dataclass
class Dashboard:
    """A served dashboard. `log` is what its process printed."""

    address: str
    home: Path
    log: Path
    process: subprocess.Popen[bytes]

    def imported(self) -> set[str]:
        """Every module that the dashboard's own process has imported, as Python reports it."""
        lines = self.log.read_text(errors="replace").splitlines()
        return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


def wait_until_it_answers(dashboard: Dashboard) -> None:
    for _ in range(300):
        assert dashboard.process.poll() is None, dashboard.log.read_text(errors="replace")[-3000:]
        try:
            urllib.request.urlopen(f"{dashboard.address}/_stcore/health", timeout=2).read()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail("The dashboard did not answer within a minute.")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def served(home: Path, log: Path) -> AbstractContextManager[Dashboard]:
    """A freshly started dashboard: nobody has opened any page yet. Python reports each import of its process."""
    port, program = free_port(), str(Path(sys.executable).parent / "headgate")
    command = [program, "serve", "--no-browser", "--port", str(port)]
    return started(command, home, log, port, PYTHONPROFILEIMPORTTIME="1")


@contextmanager
def started(
    command: list[str], home: Path, log: Path, port: int, cwd: Path | None = None, **environ: str
) -> Iterator[Dashboard]:
    """A dashboard that the command serves at the port."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, "HEADGATE_HOME": str(home), **environ}, cwd=cwd, stdout=output, stderr=output
        )
    dashboard = Dashboard(f"http://127.0.0.1:{port}", home, log, process)
    try:
        wait_until_it_answers(dashboard)
        yield dashboard
    finally:
        process.terminate()
        process.wait(timeout=30)
