"""The command line as other programs see it, run in this process on a home of its own; and a home that is a shop."""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import example
import pytest

from services import settings as settings_module
from services.cli import main
from services.clock import WallClock
from services.commands import people
from services.rules.domain import Person, Role
from services.start import open_store
from services.work.tracking import Tracking

PEOPLE = (
    Person("mia", frozenset({Role.MAKER})),
    Person("lou", frozenset({Role.LEAD, Role.ADMIN})),
    Person("vic", frozenset({Role.VIEWER})),
)
WAITING = 3  # the promotion of the shop that waits for an approval: after development and staging
DONE, ERROR, BAD_INPUT, NO, UNREACHABLE = 0, 1, 2, 3, 4


Headgate = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Desk:
    """A home, and the program run on it as `headgate` is, in this process."""

    home: Path
    monkeypatch: pytest.MonkeyPatch

    def run(self, line: str, *more: str, person: str | None = None, **environ: str) -> Answer:
        """`line` is split at blanks; arguments that hold blanks follow as they are."""
        chosen = ["--as", person] if person else []
        out, err = io.StringIO(), io.StringIO()
        with self.monkeypatch.context() as patch:
            for name, value in {"HEADGATE_HOME": str(self.home), **environ}.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["headgate", *chosen, *line.split(), *more])
            code = 0
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    main()
                except SystemExit as stop:
                    code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        return Answer(code, out.getvalue(), err.getvalue())

    def program(self, **environ: str) -> Headgate:
        """The same as a function: its exit code, its output, and what it said beside."""

        def run(*arguments: str) -> tuple[int, str, str]:
            found = self.run(*arguments, **environ)
            return found.code, found.out, found.err

        return run

    def record(self) -> dict[str, list[Any]]:
        """Every row of the store, but for the people who were met: what "nothing half done" is compared by."""
        with contextlib.closing(sqlite3.connect(self.home / "headgate.db")) as connection:
            names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            rows = {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}
        rows["audit_event"] = [row for row in rows["audit_event"] if "person.met" not in row]
        return {name: found for name, found in rows.items() if name not in ("person", "audit_head")}


def workshop(home: Path) -> example.Workshop:
    settings = settings_module.load({"HEADGATE_HOME": str(home)})
    return example.Workshop(settings, Tracking(settings), home.parent / "data")


def meet_everybody(home: Path) -> None:
    store = open_store(settings_module.load({"HEADGATE_HOME": str(home)}))
    for person in PEOPLE:
        people.meet(store, person, clock=WallClock(), sample=True)
    store.close()


def write_policy(folder: Path, text: str = example.POLICY) -> str:
    path = folder / "policy.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def open_shop(folder: Path) -> Path:
    """delays/1 is live in development and staging, and waits for an approval for production."""
    home = folder / "home"
    meet_everybody(home)
    made = workshop(home)
    made.train()
    made.write_notice()
    with pytest.MonkeyPatch.context() as patch:
        desk = Desk(home, patch)
        for command, *more in (
            ("apply", write_policy(folder)),
            ("sync",),
            ("promote delays/1 --to staging",),
            ("promote delays/1 --to production --reason", "The first one"),
        ):
            found = desk.run(command, *more, person="mia")
            assert found.code == DONE, (command, found)
    return home
