"""What differs between two bundles, changed first, as people read it."""

from __future__ import annotations

import re
from datetime import datetime

import streamlit as st

from pages.components import tables, text, theme, times
from pages.components.theme import Tone
from services.queries.differences import Change, ComponentDifference, Detail, Difference, MetricPair, called
from services.rules.domain import BundleRef

WORDS = {
    Change.CHANGED: "changes",
    Change.ADDED: "is new",
    Change.REMOVED: "goes away",
    Change.UNCHANGED: "stays the same",
}
# What tells two components apart without telling a person anything.
PINS = ("digest", "run", "size")
SAID = ("context",)  # stands in the name already
ISO = re.compile(r"\d{4}-\d{2}-\d{2}(T[\d:.]+(Z|[+-]\d{2}:\d{2}))")


def show(found: Difference, against: BundleRef | None, where: str) -> None:
    """The whole difference. `against` is what is live in `where`, or the bundle before; None where there is nothing."""
    if against is None:
        st.caption("There is nothing to compare it with: nothing else is live.")
    else:
        what = f"which is live in {where}" if where else "the bundle before it"
        st.caption(text.plain(f"Against {against}, {what}."))
        if not found.changed:
            st.markdown("Nothing: the components are the same.")
    for part in found.changed:
        _changed(part, against is not None)
    if found.unchanged:
        names = text.listed([called(part.new) for part in found.unchanged if part.new])
        verb = "stays" if len(found.unchanged) == 1 else "stay"
        st.caption(text.plain(f"{names[:1].upper()}{names[1:]} {verb} the same."))
    metrics(found.metrics, against)
    _pins(found, against)


def _changed(part: ComponentDifference, compared: bool) -> None:
    icon = f":material/{theme.KIND_ICONS[part.kind]}:"
    verb = f" {WORDS[part.change]}" if compared and part.change is not Change.CHANGED else ""
    st.markdown(f"{icon} **{text.plain(_name(part))}**{verb} {_read(part)}")
    if part.text:
        with st.container(border=True):
            st.markdown("  \n".join(_line(line) for line in part.text))


def _line(line: str) -> str:
    """A line of a text difference: what goes away and what comes, each with its sign and its tone."""
    if line.startswith("@@"):
        return "…"
    tone = {"-": Tone.NEGATIVE, "+": Tone.POSITIVE}.get(line[:1])
    words = text.plain(line[1:]) or " "
    return f":{theme.palette(tone)}[{'−' if line[0] == '-' else '+'} {words}]" if tone else words


def _name(part: ComponentDifference) -> str:
    component = part.new or part.old
    assert component is not None
    kind = called(component)
    return kind.capitalize() + (f" {part.name}" if part.name.casefold() != kind.casefold() else "")


def _read(part: ComponentDifference) -> str:
    """What a person reads: versions, rows, dates. What pins it exactly stands with the digests."""
    telling = [d for d in part.details if d.name not in (*PINS, *SAID)]
    if part.change is Change.CHANGED:
        telling = [d for d in telling if d.changed]
        cells = [f"{_label(d)}{value(d.old)} → {value(d.new)}" for d in telling]
        return ", ".join(cells) or "other contents"
    return ", ".join(f"{_label(d)}{value(d.new or d.old)}" for d in telling)


def _label(detail: Detail) -> str:
    return "" if detail.name == "version" else f"{text.plain(detail.name)} "


def value(shown: str) -> str:
    """A date as people write it; everything else as it is, and short."""
    if ISO.fullmatch(shown):
        return text.plain(times.day(datetime.fromisoformat(shown)))
    return text.plain(shown, 60) if shown else "unknown"


def _pins(found: Difference, against: BundleRef | None) -> None:
    rows = [
        [
            text.plain(_name(part)),
            text.plain(detail.name),
            *([text.mono(detail.old, 20)] if against else []),
            text.mono(detail.new, 20),
        ]
        for part in found.changed
        for detail in part.details
        if detail.name in PINS and detail.changed
    ]
    if rows:
        with st.expander("Digests"):
            head = ["Component", "What", *([text.plain(against)] if against else []), "this bundle"]
            tables.table(head, rows, alt="Digests of the components that change")


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
