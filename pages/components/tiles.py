"""One metric in one tile: the number in a person's unit, how sure it is, how it moved, and what it is made of."""

from __future__ import annotations

import streamlit as st

from pages.components import behind, bins, figures, sparks, text
from services.queries.measures import Measured
from services.rules.metrics import BY_NAME, Comparison, Value

LARGE = 1.5  # the drawing in a tile that explains itself
# DORA's five, with names short enough for a small tile.
FIVE = {
    "deployment_frequency": "Frequency",
    "change_lead_time": "Lead time",
    "failed_deployment_recovery_time": "Recovery time",
    "change_fail_rate": "Change fail rate",
    "deployment_rework_rate": "Rework rate",
}


def tile(measured: Measured, name: str, *beside: str) -> None:
    """A whole tile; `beside` are further metrics, each a line below the number."""
    compared = measured.compared[name]
    with st.container(border=True, gap="xsmall", height="stretch"):
        _metric(measured, compared)
        st.caption(text.plain(sure(compared.now)))
        for other in beside:
            st.caption(text.plain(_line(measured.values[other])))
        for note in compared.now.notes:
            st.caption(text.plain(f"{note[:1].upper()}{note[1:]}."))
        bins.show(compared.now)
        behind.button(measured, name)


def small(measured: Measured, name: str) -> None:
    """The number, its course and its n, where others are the page's subject."""
    with st.container(border=True, gap="xsmall", height="stretch"):
        _metric(measured, measured.compared[name], FIVE.get(name, ""))
        st.caption(text.plain(sure(measured.values[name])))


def _metric(measured: Measured, compared: Comparison, short: str = "") -> None:
    found = compared.now
    change = figures.change(compared)
    number = text.plain(figures.value(found))
    worth_an_arrow = bool(change) and compared.exceeds_interval
    days = text.count(found.window.days, "day")
    st.metric(
        short or BY_NAME[found.name].title,
        f":gray[{number}]" if found.too_few or found.value is None else number,
        delta=change[:1] + text.plain(change[1:]) or None,  # its direction is that of a sign that is not escaped
        delta_arrow="auto" if worth_an_arrow else "off",
        delta_color=("inverse" if figures.better_when_smaller(found) else "normal") if worth_an_arrow else "off",
        delta_description=f"against the {days} before" if change and not short else None,
        help=text.plain(BY_NAME[found.name].method),
    )
    _course(measured, found, 1.0 if short else LARGE)


def _course(measured: Measured, found: Value, scale: float) -> None:
    """The last twelve weeks; one without a value is a gap."""
    weeks = measured.spark(found.name)
    values = [week.value.value for week in weeks]
    if not any(values):
        return
    names = [f"{week.week.first.day} {week.week.first:%b}" for week in weeks]
    said = ", ".join(
        f"{name} {'–' if value is None else figures.said(found, value)}"
        for name, value in zip(names, values, strict=True)
    )
    title = BY_NAME[found.name].title
    sparks.show(values, names[0], names[-1], f"{title} by week: {said}", bars=found.unit == "a day", scale=scale)


def sure(found: Value) -> str:
    """`n = 55 deployments, 95 %: 3.2 to 5.6 a week`"""
    if found.value is None and not found.n:
        return "Nothing was counted."
    interval = figures.interval(found)
    few = ": too few to judge" if found.too_few and found.name not in ("deployment_frequency", "model_age") else ""
    return f"{figures.counted(found)}{few}" + (f", 95 %: {interval}" if interval else "")


def _line(found: Value) -> str:
    title = BY_NAME[found.name].title
    return f"{title}: {figures.value(found)} ({figures.counted(found)})"
