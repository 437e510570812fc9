"""Tables of Markdown cells. Whoever fills a cell with what a person wrote escapes it first: `text.plain`."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], alt: str) -> None:
    """A quiet table with lines between its rows; it scrolls inside itself where the screen is narrow."""
    frame = pd.DataFrame([list(row) for row in rows], columns=list(columns))
    st.table(frame, border="horizontal", hide_index=True, alt=alt)


def facts(rows: Sequence[tuple[str, str]], alt: str) -> None:
    """Names and values, without a head."""
    frame = pd.DataFrame([list(row) for row in rows], columns=["name", "value"])
    st.table(frame, border="horizontal", hide_index=True, hide_header=True, alt=alt)
