"""Carrying out one gate run: claim it, judge in a child process, write the result."""

from __future__ import annotations

from services import clock as clocks
from services.clock import Clock
from services.commands import gates
from services.errors import Fenced
from services.rules.domain import Phase
from services.settings import Settings
from services.store.database import Store
from services.work.gates import runner
from services.work.gates.task import GateTask

SAY_EVERY = 0.5  # seconds between two lines of progress in the store


def carry_out(store: Store, settings: Settings, run_id: int, *, owner: str, clock: Clock) -> Phase | None:
    """Run it, where nobody else does. Returns where its promotion now stands, or None."""
    claim = gates.claim(store, run_id, owner=owner, clock=clock)
    if claim is None:
        return None
    began = clocks.monotonic()
    voice = _Voice(store, run_id, owner)
    try:
        outcome = runner.run(
            GateTask(
                gate=claim.gate,
                definition=claim.definition,
                application=claim.application,
                components=claim.components,
                metrics=claim.metrics,
                data=claim.data,
                directory=claim.directory,
                tracking_uri=settings.tracking_uri,
                live=claim.live.components if claim.live else None,
                live_ref=str(claim.live.ref) if claim.live else "",
                trusted_types=settings.trusted_types,
            ),
            seconds=settings.gate_seconds,
            memory_mib=settings.gate_memory_mib,
            progress=voice.say,
            still_mine=voice.still_mine,
        )
        clock.elapse(clocks.monotonic() - began)
        return gates.finish(store, run_id, outcome, owner=owner, clock=clock)
    except Fenced:
        return None  # another worker has it, and its result is the one that counts


class _Voice:
    """Says how far a run is, and learns in the same breath whether it is still ours.

    Of lines that come too fast the newest is kept, and said when the lease is renewed.
    """

    def __init__(self, store: Store, run_id: int, owner: str) -> None:
        self._store, self._run_id, self._owner = store, run_id, owner
        self._said_at = -SAY_EVERY
        self._unsaid: str | None = None

    def say(self, text: str) -> None:
        self._unsaid = text
        if clocks.monotonic() - self._said_at >= SAY_EVERY:
            self.still_mine()

    def still_mine(self) -> bool:
        text, self._unsaid = self._unsaid, None
        if text is not None:
            self._said_at = clocks.monotonic()
        return gates.keep(self._store, self._run_id, owner=self._owner, progress_text=text)
