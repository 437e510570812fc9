"""Where a value lies on the Quick Check's six answers, drawn small, beside what the industry answered in 2025."""

from __future__ import annotations

import streamlit as st

from pages.components import charts, text, theme
from services.rules.metrics import Band, Value, band
from services.rules.spoken import share

WIDTH, HEIGHT, BINS = 300.0, 22.0, 6


def show(found: Value) -> None:
    """The drawing and the same in words; nothing where there are too few to judge, or no bins."""
    lies = band(found)
    if lies is None:
        return
    words = _words(lies)
    st.image(drawing(lies, charts.current_theme()), width="stretch", alt=words)
    st.caption(text.plain(words))


def _words(lies: Band) -> str:
    industry = lies.industry
    if lies.bin is None:
        return f"Industry in 2025: {share(industry.mean)} on average (SD {share(industry.deviation)})."
    return (
        f"Quick Check: {lies.answer}, answer {lies.bin} of {BINS}. As a score {lies.score:g} of 10;"
        f" industry in 2025: {industry.mean:g} (SD {industry.deviation:g})."
    )


def drawing(lies: Band, kind: str) -> str:
    """An SVG: six answers with this one filled, or a scale of percent; a tick at the mean, a line over one SD."""
    grid, strong, ink = theme.GRID[kind], theme.ACCENTS[kind][0], theme.TEXT[kind]
    if lies.bin is None:
        cells = _cell(0, WIDTH, grid) + _cell(0, WIDTH * (10 - lies.score) / 10, strong)
        at, low, high = (WIDTH * share for share in _spread(lies.industry.mean, lies.industry.deviation, 1.0))
    else:
        size = WIDTH / BINS
        cells = "".join(
            _cell(number * size, size - 3, strong if number == lies.bin - 1 else grid) for number in range(BINS)
        )
        spread = _spread(lies.industry.mean, lies.industry.deviation, 10.0)
        at, low, high = ((score / 2 + 0.5) * size for score in spread)
    mean = f'<rect x="{at - 1.5:.1f}" y="0" width="3" height="{HEIGHT}" fill="{ink}"/>'
    spread_line = f'<rect x="{low:.1f}" y="10" width="{high - low:.1f}" height="2" fill="{ink}" opacity="0.55"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" width="{WIDTH:g}"'
        f' height="{HEIGHT:g}">{cells}{spread_line}{mean}</svg>'
    )


def _spread(mean: float, deviation: float, most: float) -> tuple[float, float, float]:
    return mean, max(0.0, mean - deviation), min(most, mean + deviation)


def _cell(x: float, width: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="5" width="{max(width, 0):.1f}" height="12" rx="3" fill="{colour}"/>'
