"""What differs between two bundles, changed first, as people read it."""

from __future__ import annotations

import streamlit as st

from pages.components import tables, text, theme
from services.queries.differences import Change, ComponentDifference, Difference, MetricPair
from services.rules.domain import BundleRef, ComponentKind

WORDS = {
    Change.CHANGED: "changes",
    Change.ADDED: "is new",
    Change.REMOVED: "goes away",
    Change.UNCHANGED: "stays the same",
}


def show(found: Difference, against: BundleRef | None, where: str) -> None:
    """The whole difference. `against` is what is live in `where`; None where nothing is."""
    if against is None:
        st.caption("There is nothing to compare it with yet: nothing else is live.")
    else:
        st.caption(f"Against {text.plain(against)}, which is live in {text.plain(where)}.")
        if not found.changed:
            st.markdown("Nothing: the components are the same.")
    for part in found.changed:
        _changed(part, against is not None)
    if found.unchanged:
        names = text.listed([_name(part) for part in found.unchanged])
        st.caption(f"{theme.tone_icon(theme.Tone.NEUTRAL)} {text.plain(names)} {_stay(len(found.unchanged))} the same.")
    metrics(found.metrics, against)


def _stay(number: int) -> str:
    return "stays" if number == 1 else "stay"


def _changed(part: ComponentDifference, compared: bool) -> None:
    icon = f":material/{theme.KIND_ICONS[part.kind]}:"
    verb = f" {WORDS[part.change]}" if compared else ""
    st.markdown(f"{icon} **{text.plain(_name(part))}**{verb}")
    if details := _details(part):
        st.caption(details)
    if part.text:
        st.code("\n".join(part.text), language="diff", wrap_lines=True)


def _name(part: ComponentDifference) -> str:
    component = part.new or part.old
    context = component.details.get("context") if component else None
    kind = f"{context} data" if part.kind is ComponentKind.DATASET and context else part.kind.value
    return f"{kind.capitalize()} {part.name}"


def _details(part: ComponentDifference) -> str:
    """Old and new side by side where it changed; the plain facts where it only came or went."""
    if part.change is Change.CHANGED:
        shown = [detail for detail in part.details if detail.changed]
        cells = [f"{text.plain(d.name)} {_value(d.old)} → {_value(d.new)}" for d in shown]
    else:
        cells = [f"{text.plain(d.name)} {_value(d.new or d.old)}" for d in part.details]
    return " · ".join(cells)


def _value(value: str) -> str:
    return text.mono(value, 44) if value else "unknown"


def metrics(pairs: tuple[MetricPair, ...], against: BundleRef | None) -> None:
    """Side by side. These are what the run logged; what a gate measured stands with the gate."""
    if not pairs:
        return
    rows = [(text.plain(pair.name), _number(pair.old), _number(pair.new)) for pair in pairs]
    if against is None:
        tables.facts([(name, new) for name, _, new in rows], alt="Metrics that the run logged")
    else:
        tables.table(
            ["Logged metric", text.plain(against), "this bundle"], rows, alt="Logged metrics, before and after"
        )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
