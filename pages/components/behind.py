"""What stands behind a number: the definition, the formula, and the very rows, to look at and to download."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st

from pages.components import figures, frame, status, text
from pages.components.theme import Tone
from services.queries.measures import Measured, Row
from services.rules.metrics import BY_NAME, QualityRow, Value

COLUMNS = ("id", "what", "at", "application", "bundle", "stage", "kind", "value", "detail")
ICON = ":material/function:"
FAILURES = (
    "change_fail_rate",
    "failed_deployments",
    "failed_deployment_recovery_time",
    "failed_deployment_recovery_time_p90",
    "recovery_kaplan_meier",
    "recovery_open",
)


def button(measured: Measured, name: str, *, brief: bool = False) -> None:
    """Opens the drawer of one metric. A `brief` one only says what was counted."""
    found = measured.values[name]
    counted = text.count(found.n, figures.noun(found)) if found.n else ""
    label = counted if brief and counted else f"How is this computed? {counted}".strip()
    if st.button(label, key=f"computed {name}", type="tertiary", icon=ICON):
        drawer(measured, name)


@st.dialog("How this is computed", width="large", position="right", icon=ICON)
@frame.guards
def drawer(measured: Measured, name: str) -> None:
    explain(measured, name)


def explain(measured: Measured, name: str) -> None:
    """The body of the drawer."""
    found = measured.values[name]
    definition = BY_NAME[name]
    status.section(f"{definition.title}: {figures.value(found)}")
    st.markdown(text.plain(definition.method))
    st.code(figures.formula(found), language=None, wrap_lines=True)
    if said := figures.interval(found):
        st.markdown(text.plain(f"95 % interval: {said}."))
    for note in found.notes:
        st.markdown(status.coloured(Tone.NEUTRAL, note))
    rows = titled(measured, measured.rows(found.samples), failures=name in FAILURES)
    table(rows, found, f"{name}.csv", key=f"behind {name}")
    if found.quality:
        st.markdown(text.plain(f"Left out, or in doubt: {text.count(len(found.quality), 'row')}."))
        quality_table(measured, found.quality, f"{name}-data-quality.csv", key=f"doubts {name}")


def table(rows: Sequence[Row], found: Value | None, file: str, key: str) -> None:
    """The rows, their number, and their download. The value is in the metric's own words."""
    if not rows:
        st.caption("No rows.")
        return
    st.markdown(f"**{text.count(len(rows), 'row')}**")
    shown = pd.DataFrame(
        {
            "Finished or began": [row.at for row in rows],
            "What": [f"{row.subject} {row.id}" for row in rows],
            "Bundle": [row.bundle or row.application for row in rows],
            "Kind": [row.kind for row in rows],
            "Value": [_value(found, row) for row in rows],
            "Detail": [row.detail for row in rows],
            "Open": [f"bundle?ref={row.bundle}" if row.has_page else None for row in rows],
        }
    )
    shown = shown.drop(columns=[name for name in ("Value", "Detail", "Open") if not any(shown[name])])
    st.dataframe(
        shown,
        hide_index=True,
        height=min(420, 38 + 35 * len(rows)),
        column_config={
            "Finished or began": st.column_config.DatetimeColumn(format="D MMM YYYY, HH:mm", timezone="UTC"),
            "Open": st.column_config.LinkColumn(display_text="Open the bundle"),
        },
        alt=f"{text.count(len(rows), 'row')} behind the number",
        key=f"{key} table",
    )
    _download(_csv(rows), file, key)


def quality_table(measured: Measured, rows: Sequence[QualityRow], file: str, key: str) -> None:
    """What a person should look at, with what is wrong in a sentence."""
    of = [measured.row(row.subject, row.id, row.at, 1.0, f"{row.kind.value}: {row.text}") for row in rows]
    table(titled(measured, of), None, file, key)


def titled(measured: Measured, rows: Sequence[Row], *, failures: bool = False) -> list[Row]:
    """With the title of each incident before what there is to say of it; of `failures`, with those of what failed."""
    titles = {("incident", event.id): [event.title] for event in measured.history.events.incidents}
    if failures:
        for identity, failure in measured.history.failures.items():
            titles["deployment", identity] = [event.title for event in failure.incidents]
    quoted = {key: " ".join(f"“{title}”" for title in found if title) for key, found in titles.items()}
    return [replace(row, detail=f"{quoted.get((row.subject, row.id), '')} {row.detail}".strip()) for row in rows]


def _value(found: Value | None, row: Row) -> str:
    if found is None or found.unit in ("deployments", "incidents", "rows", "a day"):
        return ""
    if found.unit == "share" and found.name != "flow_efficiency":
        return "yes" if row.value else "no"
    return figures.said(found, row.value)


def _csv(rows: Sequence[Row]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        at = row.at.isoformat().replace("+00:00", "Z")
        words = (_inert(word) for word in (row.application, row.bundle, row.stage, row.kind))
        writer.writerow((row.id, row.subject, at, *words, row.value, _inert(row.detail)))
    return out.getvalue().encode()


def _inert(word: str) -> str:
    """A spreadsheet takes a cell that begins so for a formula."""
    return f"'{word}" if word.startswith(("=", "+", "-", "@", "\t", "\r")) else word


def _download(data: bytes, file: str, key: str) -> None:
    st.download_button(
        "Download as CSV",
        data,
        file_name=re.sub(r"[^\w.-]+", "-", file),
        mime="text/csv",
        key=f"{key} csv",
        on_click="ignore",
        icon=":material/download:",
    )
