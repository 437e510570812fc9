"""Charts: one template, axes with units, and nothing that needs its legend to be understood."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import plotly.graph_objects as go
import streamlit as st

from pages.components import theme, times


@dataclass(frozen=True)
class Bar:
    """One stretch of time in one row of a timeline. `accent` for what still goes on, a tone for what ended badly."""

    row: str
    label: str
    begins: datetime
    ends: datetime
    hover: tuple[str, ...]
    accent: bool = False
    tone: theme.Tone | None = None


def template() -> go.layout.Template:
    """The look of every chart, for the theme of this screen."""
    kind = current_theme()
    axis = {"gridcolor": theme.GRID[kind], "zeroline": False, "linecolor": theme.GRID[kind], "automargin": True}
    return go.layout.Template(
        layout={
            "colorway": list(theme.ACCENTS[kind]),
            "font": {"family": theme.FONT, "size": 13, "color": theme.TEXT[kind]},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
            "showlegend": False,
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": {"font": {"family": theme.FONT}, "align": "left"},
        }
    )


def current_theme() -> str:
    return "dark" if st.context.theme.type == "dark" else "light"


def timeline(bars: Sequence[Bar], rows: Sequence[str], now: datetime, alt: str, key: str) -> None:
    """What was where from when to when: a row a place, a bar a stretch, its name on the bar."""
    kind = current_theme()
    strong, soft = theme.ACCENTS[kind][0], theme.SOFT[kind]
    on_dark = theme.ON_STRONG[kind]
    begins, ends = _range(bars, now)
    figure = go.Figure(layout={"template": template(), "height": 64 + 46 * len(rows), "barmode": "overlay"})
    for bar in bars:
        width = max(bar.ends - bar.begins, timedelta(0))
        figure.add_bar(
            y=[bar.row],
            x=[width.total_seconds() * 1000],
            base=[bar.begins],
            orientation="h",
            width=0.62,
            marker={
                "color": strong if bar.accent else theme.colour(bar.tone, kind) if bar.tone else soft,
                "line": {"color": theme.PAPER[kind], "width": 1.5},
                "cornerradius": 4,
            },
            text=[html.escape(bar.label) if _fits(bar.label, width / (ends - begins)) else ""],
            textposition="inside",
            insidetextanchor="start",
            textfont={"color": on_dark if bar.accent or bar.tone else theme.TEXT[kind], "size": 13},
            constraintext="none",
            hovertext=["<br>".join(html.escape(line) for line in bar.hover)],
            hoverinfo="text",
        )
    figure.update_yaxes(categoryorder="array", categoryarray=list(reversed(rows)), showgrid=False, title=None)
    figure.update_xaxes(type="date", title={"text": "date (UTC)", "font": {"size": 12}}, range=[begins, ends])
    st.plotly_chart(figure, theme=None, config={"displayModeBar": False}, alt=alt, key=key)


def _fits(label: str, part: float) -> bool:
    """Whether a label of this length can be read in this part of the chart's width."""
    return part >= 0.008 + 0.009 * len(label)


def _range(bars: Sequence[Bar], now: datetime) -> tuple[datetime, datetime]:
    begins = min((bar.begins for bar in bars), default=now - timedelta(days=1))
    margin = (now - begins) * 0.02
    return begins - margin, now + margin


def lasted(begins: datetime, ends: datetime | None, now: datetime) -> str:
    """For the text that appears over a bar."""
    until = times.at(ends) if ends else "now"
    return f"{times.at(begins)} to {until}, {times.span((ends or now) - begins)}"
