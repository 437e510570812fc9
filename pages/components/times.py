"""Times and durations as a person would say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services import clock as clocks
from services.rules.spoken import span, whole

__all__ = ["ago", "at", "at_and_ago", "day", "span", "whole"]


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
