"""Lead times: once per commit, model version or dataset version, at its first arrival."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

import numpy as np

from services.rules.metrics.events import Id
from services.rules.metrics.kinds import Delivered
from services.rules.metrics.samples import Samples, seconds


class Leads:
    """Collects lead times; arrivals are added in the order of their time."""

    def __init__(self) -> None:
        self._seen: dict[str, set[str]] = defaultdict(set)  # by application
        self._at: list[datetime] = []
        self._ids: list[Id] = []
        self._begins: list[datetime] = []
        self._ends: list[float] = []
        self._details: list[str] = []

    def add(self, arrival: Delivered, begin: datetime, what: str) -> None:
        """`what` arrived; it counts the first time it does in its application. Without a name it is one of its own."""
        if what:
            seen = self._seen[arrival.event.application]
            if what in seen:
                return
            seen.add(what)
        self._at.append(arrival.at)
        self._ids.append(arrival.id)
        self._begins.append(begin)
        self._ends.append(arrival.second)
        self._details.append(what)

    def samples(self) -> Samples:
        """In hours, from the beginning to the arrival; the detail is what arrived."""
        return Samples(self._at, self._ids, (np.array(self._ends) - seconds(self._begins)) / 3600, self._details)
