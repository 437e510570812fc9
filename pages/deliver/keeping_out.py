"""Hold and freeze, on the Application page: what is kept out of a stage, by whom and why, and how to end it."""

from __future__ import annotations

import streamlit as st

from pages.components import actions, desk, reads, status, text, theme, times
from pages.components.actions import Offer
from pages.components.theme import Tone
from services.commands import freezes, holds
from services.queries import bundle
from services.queries.application import ApplicationView, StageNow
from services.rules.domain import SlotRef
from services.rules.readiness import Marked

HOLD, FREEZE = "Hold", "Freeze"
MEANS = {
    HOLD: "Automation stays out until somebody lifts the hold. People may still promote; when that succeeds, it lifts.",
    FREEZE: "Nothing is promoted into it, by nobody. The way back stays open.",
}


def show(name: str, stage: StageNow) -> None:
    """What stands before the stage, each with its way out."""
    if stage.hold:
        _standing(SlotRef(name, stage.stage), "hold", stage.hold, _held(stage.stage, stage.hold))
    if (freeze := frozen(stage)) is not None:
        _standing(SlotRef(name, stage.stage), "freeze", freeze, _frozen(stage.stage, freeze))


def frozen(stage: StageNow) -> Marked | None:
    """A freeze that lasts, or is still to come."""
    freeze = stage.freeze
    return freeze if freeze and (freeze.until is None or freeze.until > reads.now()) else None


def _held(stage: str, hold: Marked) -> str:
    since = f"since {times.at(hold.since)} by {desk.here().name_of(hold.by)}"
    return f"Automation is held out of {stage} {since}: {hold.reason}"


def _frozen(stage: str, freeze: Marked) -> str:
    verb = "is frozen" if freeze.since <= reads.now() else f"will be frozen from {times.at(freeze.since)}"
    until = f"until {times.at(freeze.until)}" if freeze.until else "until somebody lifts it"
    return f"{stage} {verb} {until}, by {desk.here().name_of(freeze.by)}: {freeze.reason}"


def _standing(slot: SlotRef, kind: str, mark: Marked, said: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(status.coloured(Tone.ATTENTION, said), width="content")
        if bundle.may_lead(desk.here().person):
            _lift(slot, kind, mark)


def _lift(slot: SlotRef, kind: str, mark: Marked) -> None:
    key = f"{kind} {slot} {mark.since}"
    lift = holds.lift if kind == "hold" else freezes.lift
    done = {
        "hold": f"Automation may bring bundles to {slot.stage} again.",
        "freeze": f"{slot.stage} is not frozen any more.",
    }
    with st.popover(f"Lift the {kind} …", icon=theme.icon(kind), type="tertiary"):
        st.text_input("Reason", key=f"why lift {key}", placeholder="May stay empty", max_chars=1000)
        offer = Offer(lift, (slot,), done=done[kind], words={"reason": f"why lift {key}"})
        actions.button(f"Lift the {kind}", offer, key=key, icon=kind)


def offer_it(view: ApplicationView) -> None:
    """Keeping out on purpose. Where a stage is held already, it can only be frozen."""
    with st.popover("Hold or freeze", icon=theme.icon("hold"), type="tertiary"):
        names = [stage.stage for stage in view.stages]
        first = names.index(view.metrics_stage) if view.metrics_stage in names else len(names) - 1
        chosen = st.selectbox("Stage", names, index=first, key="keep out of")
        stage = view.stage(chosen or names[first])
        assert stage is not None
        kind = FREEZE
        if stage.hold is None:
            kind = st.radio("How", [HOLD, FREEZE], horizontal=True, key="keep out how") or HOLD
        st.caption(text.plain(MEANS[kind]))
        _set(SlotRef(view.name, stage.stage), kind, stage)


def _set(slot: SlotRef, kind: str, stage: StageNow) -> None:
    before = stage.freeze.since if stage.freeze else "never"
    key = f"{kind} {slot} {before if kind == FREEZE else ''}"
    reason, ends = f"why {key}", f"until {key}"
    st.text_input("Reason", key=reason, placeholder="What others should know", max_chars=1000)
    if kind == HOLD:
        offer = Offer(holds.set_, (slot,), done=f"Automation is held out of {slot.stage}.", words={"reason": reason})
    else:
        st.datetime_input("Until (UTC); empty: until somebody lifts it", value=None, key=ends)
        done = f"{slot.stage} is frozen."
        offer = Offer(freezes.set_, (slot,), done=done, words={"reason": reason}, moments={"ends": ends})
    actions.button(f"{kind} {slot.stage}", offer, key=key, icon=kind.lower())
