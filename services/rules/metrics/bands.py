"""Where a value lies on the six answer bins of DORA's Quick Check, beside what the industry answered in 2025.

No verdict word: DORA stopped publishing elite, high, medium and low in 2025.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.rules.metrics.values import Value
from services.rules.spoken import share

DAY = 24.0
MONTH = 365.25 / 12 * DAY
# Upper bounds in hours of bins 6 to 2; what is no shorter than the last lies in bin 1.
DURATIONS = (
    (6, 1.0, "less than an hour"),
    (5, DAY, "less than a day"),
    (4, 7 * DAY, "less than a week"),
    (3, MONTH, "less than a month"),
    (2, 6 * MONTH, "less than six months"),
)
# Lower bounds in deployments a day. "About one a day" is what rounds to one: on every second day or more.
FREQUENCIES = (
    (6, 1.5, "several a day"),
    (5, 0.5, "about one a day"),
    (4, 1 / 7, "weekly or more"),
    (3, DAY / MONTH, "monthly or more"),
    (2, DAY / (6 * MONTH), "once in six months or more"),
)


@dataclass(frozen=True)
class Industry:
    """Mean and standard deviation over all industries in 2025, as scores from 0 to 10, or as shares for the rates."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Band:
    """`bin` from 1 to 6 and the answer it stands for; rates have no bins. `score` from 0 to 10, more is better."""

    bin: int | None
    answer: str
    score: float
    industry: Industry


INDUSTRY = {
    "change_lead_time": Industry(5.5, 2.4),
    "deployment_frequency": Industry(4.8, 2.8),
    "failed_deployment_recovery_time": Industry(7.4, 2.1),
    "change_fail_rate": Industry(0.19, 0.21),
    "deployment_rework_rate": Industry(0.22, 0.22),
}
RATES = ("change_fail_rate", "deployment_rework_rate")


def band(value: Value) -> Band | None:
    """Where one of the five lies; none for other metrics, for no value, and for too few samples to judge."""
    industry = INDUSTRY.get(value.name)
    if industry is None or value.value is None or value.too_few:
        return None
    if value.name in RATES:
        return Band(None, share(value.value), 10 - value.value * 10, industry)
    number, answer = _frequency(value.value) if value.name == "deployment_frequency" else _duration(value.value)
    return Band(number, answer, (number - 1) * 2.0, industry)


def _duration(hours: float) -> tuple[int, str]:
    return next(((number, answer) for number, limit, answer in DURATIONS if hours < limit), (1, "longer"))


def _frequency(per_day: float) -> tuple[int, str]:
    return next(((number, answer) for number, limit, answer in FREQUENCIES if per_day >= limit), (1, "less"))
