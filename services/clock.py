"""The one module that reads the wall clock.

Commands take a `Clock`, so that a story can be replayed: `at` is the story's time and what the rules go by,
`recorded_at` is always the wall's.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where a command takes its time from. `replayed` marks every row and event it writes."""

    @property
    def replayed(self) -> bool: ...

    def now(self) -> datetime: ...

    def elapse(self, seconds: float) -> None:
        """Work took so long. The wall moves by itself; a story is moved on, so that its durations are measured ones."""


@dataclass(frozen=True)
class WallClock:
    """Now, as the people in front of the screen live it."""

    replayed: bool = False

    def now(self) -> datetime:
        return wall()

    def elapse(self, seconds: float) -> None:
        return None


@dataclass
class StoryClock:
    """A clock that its teller sets. Used by the sample, whose months are told as the months before today."""

    at: datetime
    replayed: bool = True

    def now(self) -> datetime:
        return self.at

    def elapse(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def wall() -> datetime:
    """The real time, aware and in UTC: for `recorded_at`, leases and timers."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds for measuring how long something takes."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    time.sleep(seconds)
