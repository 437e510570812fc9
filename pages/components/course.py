"""The course of a duration over the weeks, and where the time of releases went: two charts whose parts open rows."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from pages.components import charts, figures, theme, times
from services.queries.measures import Measured
from services.rules.domain import DeploymentKind
from services.rules.metrics import BY_NAME, Ledger, LedgerPart, PartName, Sample, TrendPoint
from services.rules.spoken import of_hours

HOURS = {
    1 / 60: "1 min",
    1 / 6: "10 min",
    1: "1 hour",
    6: "6 hours",
    24: "1 day",
    48: "2 days",
    96: "4 days",
    168: "1 week",
    336: "2 weeks",
    730.5: "1 month",
    2191.5: "3 months",
}
SHORTEST = 1 / 3600  # where a logarithm begins: a second
WEEK = timedelta(days=7)
MANY = 2_000  # points from which on the browser draws with its graphics card
# How each part looks: a colour of the palette and a pattern, so that neither stands alone.
PARTS = {
    PartName.REGISTRATION: ("text", "."),
    PartName.REQUEST: ("soft", ""),
    PartName.GATES: ("first", ""),
    PartName.APPROVAL: ("third", ""),
    PartName.QUEUE: ("fourth", "/"),
    PartName.DEPLOY: ("fifth", ""),
}


@dataclass(frozen=True)
class Picked:
    """What was clicked: the words for it, and the samples behind it."""

    words: str
    samples: tuple[Sample, ...]


def trend(measured: Measured, name: str) -> Picked | None:
    """Weekly median and 90th percentile over the raw points, on a log axis. Gives what was clicked."""
    points = measured.trend(name)
    samples = [sample for point in points for sample in point.samples]
    figure = go.Figure(layout={"template": charts.template(), "height": 420, "barmode": "overlay"})
    kind = charts.current_theme()
    _hatch(figure, points, kind)
    _raw(figure, samples, kind)
    _weekly(figure, points, kind)
    _marks(figure, measured, kind)
    figure.update_yaxes(type="log", tickvals=list(HOURS), ticktext=list(HOURS.values()), title=None)
    figure.update_layout(
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True, "type": "linear"},
    )
    figure.update_xaxes(
        type="date",
        range=[measured.within.start, measured.within.end],
        title={"text": "when it finished (UTC)", "font": {"size": 12}},
    )
    key = f"trend {name} {measured.within.first} {measured.within.until}"
    alt = f"{BY_NAME[name].title}: weekly median and 90th percentile with {len(samples)} raw points"
    return picked(measured, points, _clicked_in(figure, key, alt))


def _clicked_in(figure: go.Figure, key: str, alt: str) -> list[Any]:
    """Show the chart, and give what the clicked points carry."""
    return clicked(
        st.plotly_chart(
            figure,
            theme=None,
            config={"displayModeBar": False},
            key=key,
            on_select="rerun",
            selection_mode="points",
            alt=alt,
        )
    )


def clicked(chosen: Any) -> list[Any]:
    """What the clicked points carry."""
    points = chosen["selection"]["points"] if chosen else []
    return [point["customdata"] for point in points if point.get("customdata")]


def picked(measured: Measured, points: Sequence[TrendPoint], marks: Sequence[Any]) -> Picked | None:
    """The samples behind a clicked point: itself, its whole week, or the deployment of a mark."""
    if not marks:
        return None
    kind, at = marks[0][0], int(marks[0][1])
    if kind == "week" and at < len(points):
        week = points[at]
        words = f"week of {times.day(week.week.start)}: median {figures.value(week.value)}"
        return Picked(words, tuple(week.samples))
    if kind == "sample":
        samples = [sample for point in points for sample in point.samples]
        return Picked("one point", (samples[at],)) if at < len(samples) else None
    found = measured.history.by_id.get(at)
    return Picked(f"one {kind}", (Sample(found.at, found.id, 1.0),)) if found else None


def _hatch(figure: go.Figure, points: Sequence[TrendPoint], kind: str) -> None:
    doubtful = [point for point in points if point.partial or point.maturing]
    figure.add_bar(
        x=[_middle(point) for point in doubtful],
        y=[1] * len(doubtful),
        width=[(point.week.end - point.week.start).total_seconds() * 1000 for point in doubtful],
        yaxis="y2",
        marker={
            "color": "rgba(0,0,0,0)",
            "line": {"width": 0},
            "pattern": {"shape": "/", "fgcolor": theme.GRID[kind], "bgcolor": "rgba(0,0,0,0)", "size": 8},
        },
        hoverinfo="skip",
        name="not over, or maturing",
    )


def _raw(figure: go.Figure, samples: Sequence[Sample], kind: str) -> None:
    draw = go.Scattergl if len(samples) > MANY else go.Scatter
    figure.add_trace(
        draw(
            x=[sample.at for sample in samples],
            y=[max(sample.value, SHORTEST) for sample in samples],
            customdata=[["sample", number] for number in range(len(samples))],
            mode="markers",
            marker={"size": 7, "color": theme.ACCENTS[kind][1], "opacity": 0.65},
            hovertext=[_hover(sample) for sample in samples],
            hoverinfo="text",
            name="each",
        )
    )


def _hover(sample: Sample) -> str:
    return f"{html.escape(of_hours(sample.value))}<br>{times.at(sample.at)}"


def _weekly(figure: go.Figure, points: Sequence[TrendPoint], kind: str) -> None:
    colour = theme.ACCENTS[kind]
    for name, values, style in (
        ("weekly median", [point.value.value for point in points], {"color": colour[0], "width": 3}),
        ("weekly p90", [point.p90 for point in points], {"color": colour[2], "width": 2, "dash": "dot"}),
    ):
        figure.add_scatter(
            x=[_middle(point) for point in points],
            y=[None if value is None else max(value, SHORTEST) for value in values],
            customdata=[["week", number] for number in range(len(points))],
            mode="lines+markers",
            line=style,
            marker={"size": 9},
            connectgaps=False,
            hovertext=[_week(point, name, value) for point, value in zip(points, values, strict=True)],
            hoverinfo="text",
            name=name,
        )


def _week(point: TrendPoint, name: str, value: float | None) -> str:
    doubt = "<br>not over yet, or cut by the window" if point.partial else ""
    doubt += "<br>an incident may still become one of its deployments" if point.maturing else ""
    number = of_hours(value) if value is not None else "none"
    return f"Week of {times.day(point.week.start)}<br>{name} {number}, n = {point.value.n}{doubt}"


def _marks(figure: go.Figure, measured: Measured, kind: str) -> None:
    """Rollbacks and failures, on the lower edge."""
    inside = [one for one in measured.history.delivered if measured.within.contains(one.at)]
    failed = [one for one in inside if one.id in measured.history.failures]
    back = [one for one in inside if one.kind is DeploymentKind.ROLLBACK and one.counts]
    for name, found, symbol, tone, height in (
        ("rollback", back, "triangle-left", theme.Tone.ATTENTION, 0.03),
        ("failure", failed, "x", theme.Tone.NEGATIVE, 0.09),
    ):
        figure.add_scatter(
            x=[one.at for one in found],
            y=[height] * len(found),
            yaxis="y2",
            customdata=[[name, one.id] for one in found],
            mode="markers",
            marker={"symbol": symbol, "size": 11, "color": theme.colour(tone, kind)},
            hovertext=[f"{name}, {times.at(one.at)}" for one in found],
            hoverinfo="text",
            name=name,
        )


def _middle(point: TrendPoint) -> Any:
    return point.week.start + (point.week.end - point.week.start) / 2


def ledgers(measured: Measured, shown: Sequence[Ledger]) -> Picked | None:
    """A bar for each release and one for all together, in parts of their time. Gives what was clicked."""
    kind = charts.current_theme()
    rows = {one.deployment: _name(measured, one, number) for number, one in enumerate(shown)}
    together = f"all {len(measured.ledgers)} together"
    figure = go.Figure(
        layout={"template": charts.template(), "height": 96 + 30 * (len(rows) + 1), "barmode": "stack", "bargap": 0.35}
    )
    for part in _names(measured.parts):
        figure.add_bar(
            y=[together, *rows.values()],
            x=[hours_of(measured.parts, part), *(hours_of(one.parts, part) for one in shown)],
            customdata=[["all", part.value], *([str(one.deployment), part.value] for one in shown)],
            orientation="h",
            marker=_look(part, kind),
            hovertext=[
                _parts_hover(part, measured.parts),
                *(_parts_hover(part, one.parts) for one in shown),
            ],
            hoverinfo="text",
            name=part.value,
        )
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0})
    figure.update_layout(barnorm="percent", margin={"t": 48})
    figure.update_xaxes(title={"text": "share of each release's time, %", "font": {"size": 12}})
    figure.update_yaxes(
        categoryorder="array", categoryarray=[*reversed(rows.values()), together], showgrid=False, title=None
    )
    key = f"ledgers {measured.within.first} {measured.within.until}"
    alt = f"Where the time of {len(measured.ledgers)} releases went, part by part"
    return picked_part(measured, _clicked_in(figure, key, alt))


def picked_part(measured: Measured, marks: Sequence[Any]) -> Picked | None:
    """The release of a bar, or every release that has the clicked part, with what it took."""
    if not marks:
        return None
    which, part = marks[0][0], PartName(marks[0][1])
    found = [one for one in measured.ledgers if which in ("all", str(one.deployment))]
    samples = [Sample(one.finished, one.deployment, hours_of(one.parts, part)) for one in found]
    if which == "all":
        samples = [sample for sample in samples if sample.value]
    return Picked(part.value, tuple(samples))


def _names(parts: Sequence[LedgerPart]) -> list[PartName]:
    return [name for name in PartName if any(part.name is name and part.duration for part in parts)]


def hours_of(parts: Sequence[LedgerPart], name: PartName) -> float:
    """What this part took, in all stages together."""
    return sum(part.hours for part in parts if part.name is name)


def _parts_hover(name: PartName, parts: Sequence[LedgerPart]) -> str:
    found = [part for part in parts if part.name is name and part.duration]
    lines = [f"{part.stage or 'before any stage'}: {times.span(part.duration)}" for part in found]
    total = of_hours(sum(part.hours for part in found))
    return "<br>".join(html.escape(line) for line in (f"{name.value}: {total}", *lines))


def _name(measured: Measured, one: Ledger, number: int) -> str:
    """A row's name; the blanks nobody sees keep two of the same name apart."""
    label = measured.labels.get(one.bundle, "") if isinstance(one.bundle, int) else ""
    label = label or f"deployment {one.deployment}"
    shown = html.escape(label if len(label) <= 32 else f"{label[:31]}…")
    return f"{shown}, {times.span(one.total)}" + "\u200b" * number


def _look(part: PartName, kind: str) -> dict[str, Any]:
    colour, pattern = PARTS[part]
    accents = theme.ACCENTS[kind]
    colours = {
        "first": accents[0],
        "third": accents[2],
        "fourth": accents[3],
        "fifth": accents[4],
        "soft": theme.SOFT[kind],
        "text": accents[1],
    }
    return {
        "color": colours[colour],
        "pattern": {"shape": pattern, "fillmode": "overlay", "fgcolor": theme.PAPER[kind], "size": 6, "solidity": 0.25},
        "line": {"color": theme.PAPER[kind], "width": 1},
    }
