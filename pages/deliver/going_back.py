"""The roll-back dialog: where to, whether that is safe, what will happen, which deployment is to blame, and why.

Part of the Application page, and no page of its own.
"""

from __future__ import annotations

import streamlit as st

from pages.components import actions, desk, frame, reads, status, text, theme, times
from pages.components.actions import Look, Offer
from services.commands import rollbacks
from services.queries import application
from services.queries.application import RollbackOffer, WayBack
from services.queries.wayback import Blamable
from services.rules.domain import BundleRef, SlotRef
from services.rules.preflight import Answer


@st.fragment
@frame.guards
def offer_it(name: str, main: str, stages: tuple[str, ...]) -> None:
    """In a fragment: what there is to go back to is only looked up when somebody asks."""
    with st.container(horizontal=True, vertical_alignment="center", width="content"):
        for stage in (main, *(stage for stage in stages if stage != main)):
            label = f"Roll back {text.plain(stage)}"
            look: Look = "primary" if stage == main else "tertiary"
            if st.button(label, key=f"roll back {stage}", type=look, icon=theme.icon("rollback")):
                _dialog(name, stage)


@st.dialog("Roll back", width="medium", icon=theme.icon("rollback"))
@frame.guards
def _dialog(name: str, stage: str) -> None:
    roll_back(reads.read(application.rollback_offer, SlotRef(name, stage)))


def roll_back(offer: RollbackOffer) -> None:
    """The body of the dialog."""
    actions.say_in_dialog()
    if not offer.ways:
        st.markdown(f"Nothing else was live in {text.plain(offer.slot.stage)} before: there is nothing to go back to.")
        return
    ways = {str(way.candidate.ref): way for way in offer.ways}
    chosen = st.selectbox(
        "Back to",
        list(ways),
        index=list(ways).index(str(offer.best)) if offer.best else None,
        format_func=lambda ref: f"{ref} – {_about(ways[ref])}",
        placeholder="Choose a bundle that was live here before",
        key=f"back to {offer.slot} {offer.generation}",
    )
    if chosen is None:
        st.markdown("None of them is verified and free of objections, so none is preselected.")
        return
    _preflight(ways[chosen])
    st.markdown(consequences(offer, chosen))
    _confirm(offer, ways[chosen])


def _confirm(offer: RollbackOffer, way: WayBack) -> None:
    chosen, seen = str(way.candidate.ref), f"{offer.slot} {offer.generation}"
    words = {"reason": f"why {seen}"}
    st.text_area("Reason", key=words["reason"], placeholder="What went wrong, in a sentence", height=80, max_chars=1000)
    if way.needs_override:
        words["override"] = f"override {seen} {chosen}"
        against = "it is quarantined" if way.candidate.quarantined else "the preflight calls it unsafe"
        st.text_input(
            f"Why all the same, although {against}", key=words["override"], placeholder="A reason", max_chars=1000
        )
    blames = _blamed(offer)
    removed = offer.live.ref if offer.live else None
    quarantine = removed is not None and st.checkbox(
        f"Quarantine {text.plain(removed)} too, so that nobody promotes it again", key=f"quarantine {offer.slot}"
    )
    key = f"roll back {offer.slot} at {offer.generation} to {chosen} by {desk.here().person.name}"
    command = Offer(
        rollbacks.roll_back,
        (offer.slot,),
        done=f"{offer.slot.stage} goes back to {chosen}.",
        more={
            "to": BundleRef.parse(chosen),
            "blames": blames,
            "quarantine": bool(quarantine),
            "key": key,
            "generation": offer.generation,
        },
        words=words,
    )
    actions.button(f"Roll back to {chosen}", command, key=key, icon="rollback", look="primary")


def _about(way: WayBack) -> str:
    candidate = way.candidate
    words = ["verified" if candidate.verified else "not verified" if candidate.checked else "not checked"]
    if way.looked is not None:
        words.append(f"preflight {way.looked.answer.value}")
    if candidate.quarantined:
        words.append("quarantined")
    if candidate.blamed:
        words.append("rolled back before")
    left = f"live until {times.day(candidate.left_at)}" if candidate.left_at else "live before"
    return ", ".join([*words, left])


def _preflight(way: WayBack) -> None:
    """What was found ahead of time, and how long ago. "Unknown" prevents nothing, and says so."""
    found = way.looked
    if found is None:
        st.markdown(f"Preflight {status.answer(Answer.UNKNOWN)} Nobody has looked at it yet. That prevents nothing.")
        return
    st.markdown(
        f"Preflight {status.answer(found.answer)} :small[{text.plain(f'looked at {times.ago(found.looked_at)}')}]"
    )
    if found.answer is Answer.SAFE:
        st.caption(text.plain(" ".join(finding.finding for finding in found.findings)))
        return
    for reason in found.reasons:
        st.markdown(status.coloured(theme.ANSWERS[found.answer][0], reason))
    if found.answer is Answer.UNKNOWN:
        st.caption("Not knowing prevents nothing: the artifacts are looked at once more before anything is moved.")


def _blamed(offer: RollbackOffer) -> int | None:
    """The deployment to blame; None leaves it to the command, which blames what is replaced."""
    if not offer.blamable:
        return None
    by_id = {one.deployment_id: one for one in offer.blamable}
    replaced = offer.live.deployment_id if offer.live else None
    under_way = [one.deployment_id for one in offer.blamable if one.live_from is None]
    first = under_way[0] if under_way else replaced
    return st.selectbox(
        "Because of",
        list(by_id),
        index=list(by_id).index(first) if first in by_id else None,
        format_func=lambda id_: _of_deployment(by_id[id_], replaced),
        placeholder="The deployment that it replaces",
        key=f"blames {offer.slot} {offer.generation}",
    )


def _of_deployment(one: Blamable, replaced: int | None) -> str:
    when = f"live since {times.at(one.live_from)}" if one.live_from else "on its way"
    if one.deployment_id == replaced:
        return f"{one.ref}, {when}: what is live now"
    return f"{one.ref}, {when.replace('live since', 'live from')}"


def consequences(offer: RollbackOffer, chosen: str) -> str:
    """What will happen, in one sentence, as Markdown."""
    way = next(way for way in offer.ways if str(way.candidate.ref) == chosen)
    gone = f"from {offer.live.ref} back to {chosen}" if offer.live else f"back to {chosen}"
    kinds = list(dict.fromkeys(_kind(change) for change in way.changes))
    changed = f"{text.listed(kinds)} {'change' if len(kinds) > 1 else 'changes'}" if kinds else "no component changes"
    return f"**{text.plain(offer.slot.stage)}** " + text.plain(
        f"goes {gone}; {changed}; automation is held until somebody lifts the hold."
    )


def _kind(change: str) -> str:
    """`model 3 → 2` is, in a sentence, the model."""
    return change.split(" → ")[0].rpartition(" ")[0] if " → " in change else change
