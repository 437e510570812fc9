"""Durations and shares as a person would say them."""

from __future__ import annotations

from datetime import timedelta

LEAST_PERCENT = 0.1
UNITS = (("year", 365 * 86400), ("month", 30 * 86400), ("day", 86400), ("hour", 3600), ("minute", 60))


def whole(duration: timedelta) -> str:
    """`3 hours`, in whole units, rounded down: for how long ago something was."""
    seconds = duration.total_seconds()
    for unit, size in UNITS:
        if seconds >= size:
            number = int(seconds // size)
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return f"{int(seconds)} second{'' if int(seconds) == 1 else 's'}"


def span(duration: timedelta) -> str:
    """`9.4 days`, `12 minutes`: with one decimal where that says more, for what was measured."""
    seconds = duration.total_seconds()
    for unit, size in (("day", 86400), ("hour", 3600)):
        if seconds >= size:
            number = round(seconds / size, 1) if seconds < 10 * size else float(round(seconds / size))
            return f"{number:g} {unit}{'' if number == 1 else 's'}"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return whole(duration)


def of_hours(hours: float) -> str:
    """`2.1 days`, from a number of hours; a negative one with its sign."""
    sign = "-" if hours < 0 else ""
    return f"{sign}{span(timedelta(hours=abs(hours)))}" if hours else "0 minutes"


def share(part: float) -> str:
    """`33 %`, `2.5 %`, `under 0.1 %`: a part of one."""
    percent = part * 100
    if 0 < percent < LEAST_PERCENT:
        return f"under {LEAST_PERCENT} %"
    return f"{percent:.0f} %" if abs(percent) >= 10 or percent == round(percent) else f"{percent:.1f} %"
