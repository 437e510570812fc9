"""The course of a number, drawn small. A period without one is a gap: no line is drawn through it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import streamlit as st

from pages.components import charts, theme

WIDTH, HEIGHT = 132.0, 36.0
# The names stay clear of the corners, which every image has rounded.
MARGIN, CORNER, DOT, STROKE, FONT = 4.0, 7.0, 2.0, 1.6, 9.0
Point = tuple[float, float]


def show(values: Sequence[float | None], first: str, last: str, alt: str) -> None:
    """The drawing, with the names of its first and last period below; nothing where no period has a value."""
    if any(value is not None for value in values):
        st.image(drawing(values, first, last, charts.current_theme()), width=int(WIDTH), alt=alt)


def drawing(values: Sequence[float | None], first: str, last: str, kind: str) -> str:
    """An SVG: a dot for each value, and a line between neighbours that both have one."""
    strong, quiet = theme.ACCENTS[kind][0], theme.colour(theme.Tone.NEUTRAL, kind)
    lines = "".join(
        f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in run)}" fill="none" stroke="{strong}"'
        f' stroke-width="{STROKE}" stroke-linejoin="round"/>'
        for run in _runs(values)
        if len(run) > 1
    )
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{DOT}" fill="{strong}"/>' for x, y in _points(values))
    names = "".join(
        f'<text x="{x:g}" y="{HEIGHT - 2:g}" text-anchor="{anchor}" font-family="{theme.FONT}" font-size="{FONT:g}"'
        f' fill="{quiet}">{name}</text>'
        for x, anchor, name in ((CORNER, "start", first), (WIDTH - CORNER, "end", last))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" width="{WIDTH:g}"'
        f' height="{HEIGHT:g}">{lines}{dots}{names}</svg>'
    )


def _runs(values: Sequence[float | None]) -> Iterator[list[Point]]:
    """Neighbours that have a value."""
    run: list[Point] = []
    for point in _placed(values):
        if point is not None:
            run.append(point)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _points(values: Sequence[float | None]) -> Iterator[Point]:
    return (point for point in _placed(values) if point is not None)


def _placed(values: Sequence[float | None]) -> Iterator[Point | None]:
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    step = (WIDTH - 2 * MARGIN) / max(len(values) - 1, 1)
    room = HEIGHT - FONT - 3 * MARGIN
    for number, value in enumerate(values):
        if value is None:
            yield None
        else:
            height = (value - low) / (high - low) if high > low else 0.5
            yield MARGIN + number * step, MARGIN + room * (1 - height)
