"""What the Delivery page is asked for: applications, teams, window, zone and moment, all of it in the address."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import available_timezones

import streamlit as st

from pages.components import links, reads
from services import settings
from services.errors import BadInput
from services.queries import measures
from services.queries.measures import Known
from services.rules.metrics import Window, last_days, window

MONTH, SEASON, QUARTER, HALF_A_YEAR, FREE = "30 days", "90 days", "this quarter", "half a year", "free"
WINDOWS = (MONTH, SEASON, QUARTER, HALF_A_YEAR, FREE)
DAYS = {MONTH: 30, SEASON: 90, HALF_A_YEAR: 182}
MONTHS_OF_A_QUARTER = 3


@dataclass(frozen=True)
class Scope:
    """`as_of` is none for now."""

    applications: tuple[str, ...]
    teams: tuple[str, ...]
    within: Window
    zone: str
    as_of: datetime | None


def of_address() -> Scope:
    """What the address asks for. Raises BadInput for a window, a zone or a moment that makes no sense."""
    zone = links.parameter("zone") or settings.load().zone
    as_of = _moment(links.parameter("as_of"))
    chosen = links.parameter("window") or SEASON
    within = _window(chosen, zone, as_of or reads.now())
    applications = tuple(st.query_params.get_all("app"))
    return Scope(applications, tuple(st.query_params.get_all("team")), within, zone, as_of)


def _window(chosen: str, zone: str, now: datetime) -> Window:
    today = last_days(1, now, zone)
    if chosen == FREE:
        return measures.between(_day(links.parameter("from")), _day(links.parameter("to")), zone, now)
    if chosen == QUARTER:
        past = (today.first.month - 1) % MONTHS_OF_A_QUARTER
        first = today.first.replace(month=today.first.month - past, day=1)
        return window(first, today.until, zone)
    if chosen not in DAYS:
        raise BadInput(f"{chosen!r} is not a window.", f"Choose one of {', '.join(WINDOWS)}.")
    return last_days(DAYS[chosen], now, zone)


def _day(written: str) -> date | None:
    try:
        return date.fromisoformat(written) if written else None
    except ValueError as error:
        raise BadInput(f"{written!r} is not a day.", "Write it as 2026-03-02.") from error


def _moment(written: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(written) if written else None
    except ValueError as error:
        raise BadInput(f"{written!r} is not a moment.", "Write ISO 8601, as in 2026-12-24T12:00:00Z.") from error
    if found is not None and found.tzinfo is None:
        raise BadInput(f"{written!r} has no zone.", "Add Z for UTC, or an offset such as +01:00.")
    return found.astimezone(UTC) if found else None


def choose(known: tuple[Known, ...], scope: Scope) -> None:
    """The fields. Each keeps its choice in the address."""
    teams = sorted({each.owner for each in known if each.owner})
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if len(known) > 1:
            _several("Applications", "app", [each.name for each in known], "All applications")
        if len(teams) > 1:
            _several("Teams", "team", teams, "All teams")
        st.selectbox("Window", WINDOWS, index=WINDOWS.index(SEASON), key="window", bind="query-params", width=160)
        if links.parameter("window") == FREE:
            _day_field("From", "from")
            _day_field("Up to, without", "to")
        with st.popover("Zone and moment", icon=":material/schedule:"):
            st.selectbox(
                "Time zone",
                sorted({*available_timezones(), scope.zone}),
                index=None,
                placeholder=scope.zone,
                key="zone",
                bind="query-params",
                help="Whose midnights cut the days.",
            )
            st.text_input(
                "As of",
                key="as_of",
                bind="query-params",
                placeholder="now",
                help="The record as it stood then, in ISO 8601: 2026-12-24T12:00:00Z.",
            )


def _several(label: str, name: str, options: list[str], placeholder: str) -> None:
    st.multiselect(
        label,
        options,
        key=name,
        bind="query-params",
        placeholder=placeholder,
        width=260,
    )


def _day_field(label: str, name: str) -> None:
    st.date_input(label, value=None, key=name, bind="query-params", format="YYYY-MM-DD", width=160)


def said(within: Window) -> str:
    """`25 Aug to 22 Nov 2026`, both days included."""
    last = within.until - timedelta(days=1)
    first = f"{within.first.day} {within.first:%b}"
    if within.first.year != last.year:
        first += f" {within.first.year}"
    return f"{first} to {last.day} {last:%b %Y}" if within.first != last else f"{last.day} {last:%b %Y}"
