"""The course of a number, drawn small. A period without one is a gap: no line is drawn through it."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

import streamlit as st

from pages.components import charts, theme

WIDTH, HEIGHT = 132.0, 36.0
# The names stay clear of the corners, which every image has rounded.
MARGIN, CORNER, DOT, STROKE, FONT = 4.0, 7.0, 2.0, 1.6, 9.0
FLOOR = HEIGHT - FONT - 2 * MARGIN
Values = Sequence[float | None]
Point = tuple[float, float]


def show(values: Values, first: str, last: str, alt: str, *, bars: bool = False, scale: float = 1.0) -> None:
    """The drawing, with the names of its first and last period below; nothing where no period has a value."""
    if any(value is not None for value in values):
        st.image(drawing(values, first, last, charts.current_theme(), bars=bars), width=int(scale * WIDTH), alt=alt)


def drawing(values: Values, first: str, last: str, kind: str, *, bars: bool = False) -> str:
    """An SVG: a dot for each value, and a line between neighbours that both have one; or a bar for each, from zero."""
    strong, quiet = theme.ACCENTS[kind][0], theme.colour(theme.Tone.NEUTRAL, kind)
    names = "".join(
        f'<text x="{x:g}" y="{HEIGHT - 2:g}" text-anchor="{anchor}" font-family="{theme.FONT}" font-size="{FONT:g}"'
        f' fill="{quiet}">{html.escape(name)}</text>'
        for x, anchor, name in ((CORNER, "start", first), (WIDTH - CORNER, "end", last))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" width="{WIDTH:g}"'
        f' height="{HEIGHT:g}">{(_bars if bars else _lines)(values, strong)}{names}</svg>'
    )


def _bars(values: Values, colour: str) -> str:
    known = [value for value in values if value is not None]
    width = 0.5 * _step(values)
    return "".join(
        f'<rect x="{x - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}" height="{FLOOR - y:.1f}" fill="{colour}"/>'
        for x, y in _points(values, 0.0, max(known, default=0.0))
        if y < FLOOR
    )


def _lines(values: Values, colour: str) -> str:
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    points = list(_points(values, low, high))
    lines = "".join(
        f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in run)}" fill="none" stroke="{colour}"'
        f' stroke-width="{STROKE}" stroke-linejoin="round"/>'
        for run in _runs(values, points)
        if len(run) > 1
    )
    return lines + "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{DOT}" fill="{colour}"/>' for x, y in points)


def _runs(values: Values, points: Sequence[Point]) -> Iterator[list[Point]]:
    """Neighbours that have a value."""
    rest, run = iter(points), []
    for value in values:
        if value is not None:
            run.append(next(rest))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _points(values: Values, low: float, high: float) -> Iterator[Point]:
    """Where the values lie, between the top for `high` and the floor for `low`; halfway where all are equal."""
    for number, value in enumerate(values):
        if value is not None:
            part = (value - low) / (high - low) if high > low else 0.5 if value else 0.0
            yield MARGIN + number * _step(values), FLOOR - part * (FLOOR - MARGIN)


def _step(values: Values) -> float:
    return (WIDTH - 2 * MARGIN) / max(len(values) - 1, 1)
