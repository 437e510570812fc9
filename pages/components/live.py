"""Watching a promotion come along: looks again by itself while something moves, and stops when it does not."""

from __future__ import annotations

import streamlit as st

from pages.components import frame, reads, status, text, theme
from services.queries import watching
from services.queries.common import PromotionLine
from services.queries.watching import Watched
from services.rules.domain import Phase, RunState

EVERY_SECONDS = 1.0
MOVING = (Phase.REQUESTED, Phase.GATING, Phase.DEPLOYING)


def watch(promotion: PromotionLine | None) -> None:
    """Nothing where nothing moves. When it comes to rest, the whole page is drawn again."""
    if promotion is not None and promotion.phase in MOVING:
        _watch(promotion.id)


def watch_any(promotions: list[PromotionLine]) -> None:
    """For a page that shows many: the first that moves is enough to notice that something did."""
    watch(next((promotion for promotion in promotions if promotion.phase in MOVING), None))


@st.fragment(run_every=EVERY_SECONDS)
@frame.guards
def _watch(promotion_id: int) -> None:
    seen = reads.read(watching.promotion, promotion_id)
    if not seen.moving:
        reads.forget()
        st.rerun()
    _draw(seen)


def _draw(seen: Watched) -> None:
    line = seen.promotion
    verb = "goes back to" if line.rollback else "is on its way to"
    with st.container(border=True):
        st.markdown(f"**{text.plain(line.ref)}** {verb} **{text.plain(line.stage)}** {status.phase(line.phase)}")
        for gate in seen.gates:
            doing = text.plain(gate.progress) if gate.state is RunState.RUNNING else ""
            st.markdown(f"{theme.icon('gate')} {text.plain(gate.gate)} {status.gate(gate.state, gate.verdict)} {doing}")
        if seen.note:
            st.caption(text.plain(seen.note))
        if seen.unattended:
            said = "No worker answers. It goes on as soon as one lives:"
            st.markdown(f"{status.coloured(theme.Tone.ATTENTION, said)} {text.mono('headgate worker')}")
