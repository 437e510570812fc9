"""One application's stages side by side: what serves where, and what is on its way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import streamlit as st

from pages.components import links, status, text, theme, times
from pages.components.theme import Tone
from services.queries.common import PromotionLine
from services.rules.domain import Phase
from services.rules.readiness import Live


class Place(Protocol):
    """What the overview's cells and the application's stages have in common."""

    @property
    def stage(self) -> str: ...
    @property
    def live(self) -> Live | None: ...
    @property
    def verified(self) -> bool: ...
    @property
    def checked(self) -> bool: ...
    @property
    def quarantined(self) -> bool: ...
    @property
    def promotion(self) -> PromotionLine | None: ...


def show(places: Sequence[Place], marks: dict[str, list[str]]) -> None:
    """Side by side, in the order of the policy; below each other on a narrow screen. `marks` are further badges."""
    with st.grid(len(places), min_column_width=220, border=True, gap="xsmall"):
        for place in places:
            with st.container(gap="xxsmall"):
                _place(place, marks.get(place.stage, []))


def line(application: str, places: Sequence[Place], marks: dict[str, list[str]]) -> None:
    """The same in one line, where there are many applications."""
    name, *cells = st.columns([3, *([4] * len(places))], gap="small", vertical_alignment="top")
    with name:
        links.to_application(application)
    for cell, place in zip(cells, places, strict=True):
        with cell:
            st.markdown(_brief(place, marks.get(place.stage, [])))


def _brief(place: Place, marks: list[str]) -> str:
    where = f":gray[{text.plain(place.stage)}] "
    if place.live is None:
        said = f"{where}{text.plain('nothing yet')}"
    else:
        badges = _badges(place, marks)
        said = f"{where}**{text.plain(place.live.ref.number)}** {' '.join(badges)} :small[{_days(place.live.since)}]"
    return said + (f"  \n{_promotion(place.promotion, str(place.promotion.ref.number))}" if place.promotion else "")


def _days(moment: datetime) -> str:
    return text.plain(times.ago(moment).removesuffix(" ago"))


def _badges(place: Place, marks: list[str]) -> list[str]:
    found = [status.checked(place.verified, place.checked), *marks]
    return [status.badge(Tone.NEGATIVE, "quarantined"), *found] if place.quarantined else found


def _place(place: Place, marks: list[str]) -> None:
    st.caption(text.plain(place.stage))
    if place.live is None:
        st.markdown(f"**Nothing yet** {status.badge(Tone.NEUTRAL, 'empty')}")
    else:
        links.to_bundle(place.live.ref)
        st.markdown(f"{' '.join(_badges(place, marks))}  \n:small[{_since(place.live.since)}]")
    if place.promotion is not None:
        st.markdown(_promotion(place.promotion, str(place.promotion.ref)))


def _since(moment: datetime) -> str:
    return text.plain(f"live since {times.day(moment)}, {times.ago(moment)}")


def _promotion(line: PromotionLine, name: str) -> str:
    tone, word = theme.PHASES[line.phase]
    word = "is going back here" if line.rollback and line.phase is Phase.DEPLOYING else word
    return status.coloured(tone, f"{name} {word}")
