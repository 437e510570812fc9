"""What a gate found: the verdict, the sentence, then the evidence behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from pages.components import comparisons, status, tables, text, theme, times
from pages.components.theme import Tone
from services.queries import weighing
from services.queries.gateruns import GateLine

# Shown as text of its own, and not in the table of facts.
TEXTS = ("template", "rendered")


def show(line: GateLine, *, expanded: bool = False) -> None:
    """One gate, with all that is in its evidence."""
    badges = status.gate(line.state, line.verdict, outdated=line.outdated, waived_by=line.waived_by, mode=line.mode)
    st.markdown(f"{theme.icon('gate')} **{text.plain(line.gate)}** {badges}  \n{_said(line)}")
    if line.warnings:
        st.markdown("  \n".join(status.coloured(Tone.ATTENTION, warning) for warning in line.warnings))
    if line.waived_by:
        st.markdown(f"Waived by {text.plain(line.waived_by)}: {text.plain(line.waive_reason)}")
    if line.evidence:
        with st.expander("Evidence", expanded=expanded):
            _of_kind(line)
            if line.finished_at:
                st.caption(text.plain(f"Judged {times.at_and_ago(line.finished_at)}{_took(line)}."))


def _of_kind(line: GateLine) -> None:
    """Comparisons as people weigh them; everything else, and what is not as expected, as it is."""
    effect = weighing.of_baseline(line) if line.kind == weighing.BASELINE else None
    drift = weighing.of_drift(line) if line.kind == weighing.DRIFT else None
    if effect is not None:
        comparisons.effect(effect)
    elif drift is not None:
        comparisons.drift(drift)
    else:
        _evidence(dict(line.evidence))


def _said(line: GateLine) -> str:
    if line.summary:
        return text.lines(line.summary)
    if line.progress:
        return text.plain(line.progress)
    return text.plain(line.description or "It has not run yet.")


def _took(line: GateLine) -> str:
    if line.started_at is None or line.finished_at is None or line.finished_at <= line.started_at:
        return ""
    return f", in {times.span(line.finished_at - line.started_at)}"


def _evidence(evidence: Mapping[str, Any]) -> None:
    facts, lists, texts = [], [], []
    for name, value in evidence.items():
        if name in TEXTS and isinstance(value, str):
            texts.append((name, value))
        elif _is_table(value):
            lists.append((name, value))
        elif (shown := _shown(value)) != "":
            facts.append((text.plain(_title(name)), shown))
    if facts:
        tables.facts(facts, alt="What the gate measured")
    for name, rows in lists:
        st.caption(text.plain(_title(name)))
        _rows(rows)
    for name, body in texts:
        st.caption(text.plain(_title(name)))
        st.code(body, language=None, wrap_lines=True)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _rows(rows: Sequence[Mapping[str, Any]]) -> None:
    columns = [name for name in dict.fromkeys(n for row in rows for n in row) if any(_shown(r.get(name)) for r in rows)]
    cells = [[_shown(row.get(name)) for name in columns] for row in rows[:60]]
    tables.table([text.plain(_title(name)) for name in columns], cells, alt="Rows of the evidence")
    if len(rows) > len(cells):
        st.caption(f"and {len(rows) - len(cells):,} more")


def _title(name: str) -> str:
    return name.replace("_", " ")


def _shown(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"
        case str():
            return text.mono(value, 20) if value.startswith("sha256:") else text.plain(value, 300)
        case list() | tuple() if all(isinstance(part, int | float) and not isinstance(part, bool) for part in value):
            return " to ".join(_shown(part) for part in value) if len(value) == 2 else ", ".join(map(_shown, value))
        case list() | tuple():
            return ", ".join(_shown(part) for part in value)
        case Mapping():
            return ", ".join(f"{text.plain(_title(str(name)))} {_shown(part)}" for name, part in value.items())
        case _:
            return text.plain(value, 300)
