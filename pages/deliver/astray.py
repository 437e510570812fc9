"""What is the matter in MLflow, on the Application page: an alias that somebody moved, an artifact that changed.

Told in plain words with what can be chosen; a worker carries out the choice, and the page watches it do so.
"""

from __future__ import annotations

import streamlit as st

from pages.components import actions, desk, frame, reads, status, text, theme, times
from pages.components.actions import Offer
from pages.components.theme import Tone
from services.commands import strays
from services.commands.strays import Choice
from services.queries import bundle, wayback
from services.queries.application import ApplicationView, StageNow
from services.queries.wayback import StrayLine
from services.rules.domain import Role
from services.rules.preflight import Answer

EVERY_SECONDS = 1.0


def show(view: ApplicationView) -> None:
    """Nothing where nothing is the matter."""
    for stage in view.stages:
        _changed(stage)
        if stage.stray is not None:
            _stray(stage.stray, stage)
    if any(stage.stray.under_way for stage in view.stages if stage.stray):
        _watch(view.name)


def _changed(stage: StageNow) -> None:
    if stage.live is None or stage.looked is None or stage.looked.answer is not Answer.UNSAFE:
        return
    said = " ".join(stage.looked.reasons)
    st.markdown(
        status.coloured(Tone.NEGATIVE, f"What serves in {stage.stage} is not what was approved as {stage.live.ref}:")
        + f" {text.plain(said)}"
    )
    remedy = "Roll back, or promote a bundle whose artifact is whole."
    st.caption(text.plain(f"Looked at {times.at_and_ago(stage.looked.looked_at)}. {remedy}"))


def _stray(stray: StrayLine, stage: StageNow) -> None:
    with st.container(border=True):
        st.markdown(status.coloured(Tone.ATTENTION, stray.finding))
        st.caption(
            text.plain(f"Noticed {times.at_and_ago(stray.found_at)}. Until somebody chooses, nothing is touched.")
        )
        if stray.under_way:
            doing = "put back" if stray.choice == Choice.RESTORE else "taken over"
            who = desk.here().name_of(stray.chosen_by)
            st.markdown(status.coloured(Tone.PROGRESS, f"It is being {doing}, as {who} chose."))
            return
        if stray.trouble:
            st.markdown(status.coloured(Tone.NEGATIVE, "That did not work:") + f" {text.lines(stray.trouble)}")
        _choices(stray, stage)


def _choices(stray: StrayLine, stage: StageNow) -> None:
    """The keys change when a choice ran into trouble, so that it can be chosen again."""
    person, key = desk.here().person, f"{stray.id} {stray.choice} {len(stray.trouble)}"
    serves = str(stage.live.ref) if stage.live else "what is live"
    with st.container(horizontal=True, vertical_alignment="center"):
        if bundle.may_lead(person):
            offer = Offer(strays.choose, (stray.slot, Choice.RESTORE), done=f"{stray.slot} goes back to {serves}.")
            actions.button(f"Restore {serves}", offer, key=f"restore {key}", icon="restore")
        if person.has(Role.ADMIN):
            with st.popover("Adopt …", icon=theme.icon("adopt"), type="tertiary"):
                st.caption(
                    text.plain(
                        f"Version {stray.says} goes live in {stray.slot.stage} as a deployment by an unknown hand. "
                        "Where Headgate has never seen it, it becomes a bundle, with its gaps."
                    )
                )
                field = f"why adopt {key}"
                st.text_input("Reason", key=field, placeholder="Why it may stay", max_chars=1000)
                offer = Offer(
                    strays.choose,
                    (stray.slot, Choice.ADOPT),
                    done=f"What {stray.slot} points at is being taken over.",
                    words={"reason": field},
                )
                actions.button("Adopt it", offer, key=f"adopt {key}", icon="adopt")
        if not bundle.may_lead(person):
            st.caption("A lead may restore it, an admin may adopt it.")


@st.fragment(run_every=EVERY_SECONDS)
@frame.guards
def _watch(name: str) -> None:
    """Looks again by itself until it is put right or ran into trouble; then the page is drawn again."""
    if not reads.read(wayback.settling, name):
        reads.forget()
        st.rerun()
