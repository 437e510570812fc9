"""Windows: half-open, cut at the local midnights of one reporting zone, compared in UTC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.errors import BadInput

DAY = timedelta(days=1)
WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Window:
    """The local days from `first` up to, and without, `until`. Make one with `window` or `last_days`."""

    first: date
    until: date
    zone: str
    start: datetime  # UTC, as is the end
    end: datetime

    @property
    def days(self) -> int:
        """Local days: one of 23 or 25 hours is one day."""
        return (self.until - self.first).days

    def contains(self, at: datetime) -> bool:
        return self.start <= at < self.end

    def partial(self, as_of: datetime) -> bool:
        """Whether it was not over yet."""
        return as_of < self.end

    def before(self) -> Window:
        """As many local days, directly before."""
        return window(_moved(self.first, -self.days), self.first, self.zone)

    def day_starts(self) -> list[datetime]:
        """The first instant of each day, and the end: one more than there are days."""
        zone = zone_named(self.zone)
        days = (self.first + DAY * offset for offset in range(self.days + 1))
        return [midnight(day, zone) for day in days]

    def weeks(self) -> Iterator[Window]:
        """The ISO weeks (from Monday) that it touches, whole: the first may begin before it, the last end after."""
        monday = _moved(self.first, -self.first.weekday())
        while monday < self.until:
            following = _moved(monday, 7)
            yield window(monday, following, self.zone)
            monday = following

    def complete_weeks(self, as_of: datetime) -> list[Window]:
        """The ISO weeks that lie wholly in it and were over."""
        inside = (w for w in self.weeks() if w.first >= self.first and w.until <= self.until)
        return [week for week in inside if not week.partial(as_of)]


def window(first: date, until: date, zone: str = "UTC") -> Window:
    """The local days [first, until) of a zone.

    Raises BadInput for an unknown zone, a length of zero or less, and days outside the calendar.
    """
    if isinstance(first, datetime) or isinstance(until, datetime):
        raise BadInput("A window is given in whole days, not in instants.", "Write dates, such as 2026-03-02.")
    if until <= first:
        raise BadInput(
            f"The window from {first} to {until} has no days in it.",
            "The second day must be after the first; it is not part of the window itself.",
        )
    found = zone_named(zone)
    return Window(first, until, zone, midnight(first, found), midnight(until, found))


def last_days(days: int, as_of: datetime, zone: str = "UTC") -> Window:
    """The latest `days` local days, with the unfinished one in which `as_of` lies. Raises BadInput as `window`."""
    today = aware(as_of).astimezone(zone_named(zone)).date()
    until = _moved(today, 1)
    return window(_moved(until, -days), until, zone)


def zone_named(name: str) -> ZoneInfo:
    """The zone of that IANA name. Raises BadInput where there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadInput(
            f"{name!r} is not a time zone that is known here.",
            "Use a name of the IANA list, such as UTC or Europe/Berlin (HEADGATE_ZONE, or --zone).",
        ) from error


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a local day, in UTC. Where the clocks skip midnight, the moment they do."""
    try:
        return datetime.combine(day, time(), zone).astimezone(UTC)
    except OverflowError as error:
        raise _off_the_calendar() from error


def aware(instant: datetime) -> datetime:
    """The same instant in UTC. Raises BadInput where it has no zone, since it could then be any."""
    if instant.tzinfo is None:
        raise BadInput(f"{instant.isoformat()} has no time zone.", "Add one, such as 2026-03-02T10:00:00+00:00.")
    return instant.astimezone(UTC)


def _moved(day: date, days: int) -> date:
    try:
        return day + timedelta(days=days)
    except OverflowError as error:
        raise _off_the_calendar() from error


def _off_the_calendar() -> BadInput:
    return BadInput("The window reaches beyond the calendar's years 1 to 9999.", "Choose days within them.")
