"""What served after what, for the ages of models and data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from services.rules.metrics.events import Id, TrainingFacts
from services.rules.metrics.kinds import Delivered
from services.rules.metrics.samples import Floats


@dataclass(frozen=True)
class Turns:
    """The deployments that served, in the order in which they began to. Seconds since 1970; what serves has no end."""

    delivered: Sequence[Delivered]
    begins: Floats
    ends: Floats

    def births(self, trainings: Mapping[Id, TrainingFacts], born: Callable[[TrainingFacts], datetime | None]) -> Floats:
        """Of each turn; NaN where none is known, or it lies after the deployment and stands in data quality."""
        found = np.full(len(self.delivered), np.nan)
        for row, one in enumerate(self.delivered):
            facts = trainings.get(one.event.bundle)
            birth = born(facts) if facts else None
            if birth is not None and birth <= one.at:
                found[row] = birth.timestamp()
        return found


def turns(delivered: Sequence[Delivered]) -> Turns:
    """A redeploy prolongs the turn of what it repeats."""
    found: list[Delivered] = []
    ends: list[float] = []
    serving: dict[str, int] = {}
    for one in delivered:
        row = serving.get(one.event.application)
        if row is not None:
            if found[row].event.bundle == one.event.bundle:
                continue
            ends[row] = one.second
        serving[one.event.application] = len(found)
        found.append(one)
        ends.append(np.inf)
    return Turns(found, np.array([one.second for one in found]), np.array(ends))
