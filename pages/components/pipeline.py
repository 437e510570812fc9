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


def _place(place: Place, marks: list[str]) -> None:
    st.caption(text.plain(place.stage))
    if place.live is None:
        st.markdown(f"**Nothing yet** {status.badge(Tone.NEUTRAL, 'empty')}")
    else:
        links.to_bundle(place.live.ref)
        badges = [status.checked(place.verified, place.checked), *marks]
        if place.quarantined:
            badges.insert(0, status.badge(Tone.NEGATIVE, "quarantined"))
        st.markdown(f"{' '.join(badges)}  \n:small[{_since(place.live.since)}]")
    if place.promotion is not None:
        st.markdown(_promotion(place.promotion))


def _since(moment: datetime) -> str:
    return text.plain(f"live since {times.day(moment)}, {times.ago(moment)}")


def _promotion(line: PromotionLine) -> str:
    tone, word = theme.PHASES[line.phase]
    word = "is going back here" if line.rollback and line.phase is Phase.DEPLOYING else word
    return status.coloured(tone, f"{line.ref} {word}")
