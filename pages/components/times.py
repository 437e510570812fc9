"""Times and durations as a person would say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services import clock as clocks

UNITS = (("year", 365 * 86400), ("month", 30 * 86400), ("day", 86400), ("hour", 3600), ("minute", 60))


def at(moment: datetime | None) -> str:
    """`22 Nov 2026, 17:31 UTC`"""
    if moment is None:
        return "unknown"
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%b %Y, %H:%M} UTC"


def day(moment: datetime) -> str:
    """`22 Nov 2026`"""
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%b %Y}"


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """`3 hours ago`, `just now`, `in 2 days`."""
    if moment is None:
        return "unknown"
    passed = (now or clocks.wall()) - moment
    said = whole(abs(passed))
    if abs(passed) < timedelta(minutes=1):
        return "just now"
    return f"{said} ago" if passed > timedelta(0) else f"in {said}"


def at_and_ago(moment: datetime | None, now: datetime | None = None) -> str:
    """`22 Nov 2026, 17:31 UTC (3 hours ago)`"""
    return f"{at(moment)} ({ago(moment, now)})" if moment else "unknown"


def whole(span: timedelta) -> str:
    """`3 hours`, in whole units, rounded down: for how long ago something was."""
    seconds = span.total_seconds()
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
