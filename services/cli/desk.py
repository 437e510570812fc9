"""What every command works with, and how it prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services import settings as settings_module
from services.clock import WallClock
from services.commands import people
from services.identity import acting
from services.rules.domain import Person
from services.settings import Settings
from services.start import open_store
from services.store.database import Store

if TYPE_CHECKING:
    from services.work.tracking import Tracking

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]
PIPE_WIDTH = 240  # a pipe has no width of its own, and a table cut to 80 columns loses what somebody greps for
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True, width=None if sys.stderr.isatty() else PIPE_WIDTH)


@dataclass
class Desk:
    """Settings, store, person and clock of one command. MLflow is imported only when it is asked for."""

    settings: Settings
    store: Store
    actor: Person
    clock: WallClock

    @cached_property
    def tracking(self) -> Tracking:
        from services.work.tracking import Tracking

        return Tracking(self.settings)


class Chosen:
    """The person that `--as` names; set once, by the callback of the whole program."""

    person: str | None = None


def desk() -> Desk:
    settings = settings_module.load()
    store = open_store(settings)
    actor = acting(store, Chosen.person)
    clock = WallClock()
    if Chosen.person is None:
        people.meet(store, actor, clock=clock)
    return Desk(settings, store, actor, clock)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))  # noqa: T201  (what other programs read)


def say(text: str) -> None:
    """A line for people. The text is text: what looks like markup in a name stays as it is."""
    out.print(Text(text))


def hint(text: str) -> None:
    """A line beside the answer, on standard error, so that a pipe gets the answer alone."""
    err.print(Text(text, style="dim"))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        grid.add_column(column)
    for row in rows:
        grid.add_row(*(Text("–" if cell is None or cell == "" else str(cell)) for cell in row))
    out.print(grid)


@contextmanager
def working(text: str) -> Iterator[None]:
    """Something is shown to move while work takes longer than a moment; nothing where nobody looks."""
    if not sys.stderr.isatty():
        yield
        return
    with err.status(Text(text)):
        yield
