"""Work on many small objects without the garbage collector in the way."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Nothing here makes cycles, and the collector would walk through all events again and again: a third of the time.

    Whoever switched it off switches it on again, so that threads in here at once leave it as it was.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
