"""What differs between two bundles, changed first, as people read it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from pages.components import comparisons, status, tables, text, theme, times
from pages.components.theme import Tone
from services.queries import weighing
from services.queries.differences import (
    Change,
    ComponentDifference,
    Detail,
    Difference,
    MetricPair,
    Piece,
    called,
    side_by_side,
    text_of,
)
from services.queries.gateruns import GateLine
from services.rules.domain import BundleRef, ComponentKind

WORDS = {
    Change.CHANGED: "changes",
    Change.ADDED: "is new",
    Change.REMOVED: "goes away",
    Change.UNCHANGED: "stays the same",
}
MOVED_SHOWN = 8
# What tells two components apart without telling a person anything.
PINS = ("digest", "run", "size")
SAID = ("context",)  # stands in the name already
ISO = re.compile(r"\d{4}-\d{2}-\d{2}(T[\d:.]+(Z|[+-]\d{2}:\d{2}))")


def show(found: Difference, against: BundleRef | None, where: str, gates: Sequence[GateLine] = ()) -> None:
    """The whole difference, in the order of what matters: components, wording, data, metrics.

    `against` is what is live in `where`, or the bundle before; None where there is nothing. `gates` have judged it.
    """
    if against is None:
        st.caption("There is nothing to compare it with: nothing else is live.")
    else:
        what = f"which is live in {where}" if where else "the bundle before it"
        st.caption(text.plain(f"Against {against}, {what}."))
        _together(found)
    wordings = [part for part in found.changed if part.kind is ComponentKind.PROMPT]
    data = [part for part in found.changed if part.kind is ComponentKind.DATASET]
    for part in found.changed:
        if part not in data:
            _changed(part, against is not None)
    _unchanged(found)
    for part in wordings:
        _wording(part, against)
    _data(data, against, gates)
    _measured(found, against, gates)
    _pins(found, against)


def _together(found: Difference) -> None:
    """What changed, and whether an effect could be told to come from it."""
    causes = list(found.causes)
    if not found.changed:
        st.markdown("Nothing: the components are the same.")
    elif len(causes) > 1:
        both = text.listed(causes)
        said = f"{both[:1].upper()}{both[1:]} changed together: the effect cannot be attributed to one of them."
        st.markdown(status.coloured(Tone.ATTENTION, said))


def _unchanged(found: Difference) -> None:
    if found.unchanged:
        names = text.listed([called(part.new) for part in found.unchanged if part.new])
        verb = "stays" if len(found.unchanged) == 1 else "stay"
        st.caption(text.plain(f"{names[:1].upper()}{names[1:]} {verb} the same."))


def _changed(part: ComponentDifference, compared: bool) -> None:
    icon = f":material/{theme.KIND_ICONS[part.kind]}:"
    verb = f" {WORDS[part.change]}" if compared and part.change is not Change.CHANGED else ""
    st.markdown(f"{icon} **{text.plain(_name(part))}**{verb} {_read(part)}")
    if part.text and part.kind is not ComponentKind.PROMPT:
        with st.container(border=True):
            st.markdown("  \n".join(_line(line) for line in part.text))


def _line(line: str) -> str:
    """A line of a text difference: what goes away and what comes, each with its sign and its tone."""
    if line.startswith("@@"):
        return "…"
    tone = {"-": Tone.NEGATIVE, "+": Tone.POSITIVE}.get(line[:1])
    words = text.plain(line[1:]) or " "
    return f":{theme.palette(tone)}[{'−' if line[0] == '-' else '+'} {words}]" if tone else words


def _wording(part: ComponentDifference, against: BundleRef | None) -> None:
    """A prompt before and after, word by word; what goes away is struck out, what comes is bold."""
    left, right = side_by_side(text_of(part.old), text_of(part.new))
    if against is None or part.old is None or part.new is None:
        with st.container(border=True):
            st.markdown(_marked(right or left, None))
        return
    for column, label, pieces, tone in zip(
        st.columns(2), (str(against), "this bundle"), (left, right), (Tone.NEGATIVE, Tone.POSITIVE), strict=True
    ):
        with column, st.container(border=True):
            st.caption(text.plain(f"{part.name}, {label}"))
            st.markdown(_marked(pieces, tone))


def _marked(pieces: Sequence[Piece], tone: Tone | None) -> str:
    lines = [""]
    for piece in pieces:
        for number, line in enumerate(piece.text.split("\n")):
            if number:
                lines.append("")
            if line.strip():
                words = text.plain(line)
                strong = f"~~{words}~~" if tone is Tone.NEGATIVE else f"**{words}**"
                shown = f":{theme.palette(tone)}-background[{strong}]" if tone and piece.changed else words
                lines[-1] = f"{lines[-1]} {shown}".strip()
    return "  \n".join(line or "\u00a0" for line in lines)


def _data(parts: Sequence[ComponentDifference], against: BundleRef | None, gates: Sequence[GateLine]) -> None:
    for part in parts:
        _changed(part, against is not None)
    found = weighing.drifted(gates, against)
    if found is None:
        return
    if not found.telling:
        st.caption(text.plain(f"None of the {len({c.column for c in found.columns})} columns moved beyond its limit."))
        return
    st.markdown("Distributions that moved")
    comparisons.moved(found.telling[:MOVED_SHOWN])
    if len(found.telling) > MOVED_SHOWN:
        st.caption(
            f"and {len(found.telling) - MOVED_SHOWN:,} more; all of them stand with the gate {text.plain(found.gate)}"
        )


def _measured(found: Difference, against: BundleRef | None, gates: Sequence[GateLine]) -> None:
    """What gates measured first: it has intervals. What the run logged says less, and stands below."""
    judged = weighing.measured(gates, against)
    if judged:
        comparisons.weighed(judged, against)
        if found.metrics:
            with st.expander("As the runs logged them"):
                metrics(found.metrics, against)
    else:
        metrics(found.metrics, against)


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
