"""What comparing gates measured, in the order in which people weigh it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.components import status, tables, text
from pages.components.theme import Tone
from services.queries.weighing import Drift, Interval, Measured, Moved

COLUMNS_SHOWN = 60
# What a drift gate says of a column, which is more than a verdict: a warning stops nothing.
JUDGED = {
    "passed": (Tone.POSITIVE, "as before"),
    "warned": (Tone.ATTENTION, "moved"),
    "failed": (Tone.NEGATIVE, "moved too far"),
    "inconclusive": (Tone.ATTENTION, "cannot be said"),
    "not judged": (Tone.NEUTRAL, "not judged"),
}


def weighed(found: Sequence[Measured], against: object) -> None:
    """Metrics side by side with what is live, each with its interval."""
    compares = any(line.difference for line in found)
    heads = ["Metric", "This bundle"]
    if compares:
        heads = ["Metric", text.plain(against), "This bundle", "Difference"]
    rows = [_weighed(line, compares) for line in found]
    tables.table([*heads, "Limit", "Rows"], rows, alt="What the gates measured, with intervals")
    if sure := next((line.confidence for line in found if line.confidence), None):
        st.caption(text.plain(f"In brackets the {sure * 100:g} % interval, on rows held out from training."))


def _weighed(line: Measured, compares: bool) -> list[str]:
    verdict = status.verdict(line.verdict) if line.verdict else ""
    cells = [f"**{text.plain(line.metric)}** {verdict}"]
    if compares:
        cells.append(_value(line.other))
    cells.append(_interval(line.this) if line.this else "–")
    if compares:
        cells.append(_interval(line.difference, signed=True) if line.difference else "–")
    return [*cells, text.plain(line.limit) or "–", _rows(line.rows)]


def effect(line: Measured) -> None:
    """One comparison, in the order in which people read it: effect, limit, rows; how it was computed in small print."""
    assert line.difference is not None
    rows = [
        (
            "**Effect**",
            f"**{_interval(line.difference, signed=True)}** {text.plain(line.metric)}, this bundle minus live",
        ),
        ("Limit", text.plain(line.limit) or "–"),
        (text.plain(line.against) or "Live", _value(line.other)),
        ("This bundle", _interval(line.this) if line.this else "–"),
        ("Rows", _rows(line.rows) + _of_which(line)),
    ]
    if line.rows_to_decide:
        rows.append(("To decide", text.plain(f"about {line.rows_to_decide:,} rows")))
    tables.facts(rows, alt="What the comparison measured")
    sure = f"{line.confidence * 100:g} % interval" if line.confidence else ""
    st.caption(text.plain(", ".join(part for part in (sure, line.method) if part)))


def _of_which(line: Measured) -> str:
    parts = []
    if line.positives is not None:
        parts.append(f"{line.positives:,} positive")
    if line.discordant is not None:
        parts.append(f"{line.discordant:,} on which the two differ")
    return text.plain(", of which " + ", ".join(parts)) if parts else ""


def moved(columns: Sequence[Moved]) -> None:
    """A row a column, in the order of how far each moved against its limit."""
    rows = [
        [
            f"**{text.plain(column.column)}**",
            status.badge(*JUDGED.get(column.judged, (Tone.NEUTRAL, column.judged))),
            _how_far(column),
            _number(column.limit),
            f"{_rows(column.rows_before)} → {_rows(column.rows)}",
            text.plain(column.note, 200),
        ]
        for column in columns[:COLUMNS_SHOWN]
    ]
    tables.table(
        ["Column", "", "Moved by", "Limit", "Rows", "Note"], rows, alt="Columns, the one that moved most first"
    )
    if len(columns) > COLUMNS_SHOWN:
        st.caption(f"and {len(columns) - COLUMNS_SHOWN:,} more, which moved less")


def drift(found: Drift) -> None:
    """All that a drift gate looked at."""
    moved(found.columns)
    st.caption(
        "A KS distance, a total variation and a difference of null shares each lie between 0 (alike) and 1. "
        "What moved needs not do worse: drift is no measure of quality."
    )


def _how_far(column: Moved) -> str:
    if column.statistic is None:
        return "–"
    said = f"{column.statistic:.3f} {column.measure}"
    if column.median_shift is not None and abs(column.median_shift) >= 0.005:
        said += f", median {column.median_shift:+.2f} IQR"
    return text.plain(said)


def _interval(found: Interval, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    said = f"{found.value:{sign}.3f}"
    if found.low is not None and found.high is not None:
        said += f" ({found.low:{sign}.3f} to {found.high:{sign}.3f})"
    return text.plain(said)


def _number(value: float | None) -> str:
    return "–" if value is None else text.plain(f"{value:.4g}")


def _value(value: float | None) -> str:
    """With as many digits as the interval beside it."""
    return "–" if value is None else text.plain(f"{value:.3f}")


def _rows(count: int | None) -> str:
    return "–" if count is None else f"{count:,}"
