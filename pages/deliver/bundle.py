"""Is this bundle ready, what changed, and can I trust it?"""

from __future__ import annotations

import streamlit as st

from pages.components import (
    actions,
    changes,
    conditions,
    desk,
    evidence,
    frame,
    lineage,
    links,
    live,
    reads,
    status,
    tables,
    text,
    theme,
    times,
)
from pages.components.actions import Look, Offer
from pages.components.theme import Tone
from services.commands import bundles, gates, promotions
from services.queries import bundle
from services.queries.bundle import BundleView, HistoryLine, StageView
from services.queries.gateruns import GateLine
from services.queries.standing import Stands
from services.rules.domain import OPEN_PHASES, BundleRef, Phase


def draw() -> None:
    frame.enter("bundle")
    asked = links.parameter("ref")
    if not asked:
        status.sentence("Which bundle?")
        st.markdown("Its address names it, as in `/bundle?ref=flight-delay/12`.")
        links.to_bundles("Choose one")
        return
    view = reads.read(bundle.detail, BundleRef.parse(asked), desk.here().person)
    _head(view)
    stage = _stage(view)
    _buttons(view, stage)
    if stage is not None:
        live.watch(next((line.promotion for line in view.history if line.promotion.stage == stage.facts.stage), None))
    left, right = st.columns([2, 3], gap="large")
    with left:
        if stage is not None:
            status.section(f"Conditions for {stage.facts.stage}")
            if stage.facts.is_live:
                st.caption("It is live there. These are the conditions for promoting it once more.")
            conditions.show(stage.standing.conditions, [gate.verdict for gate in stage.gates])
        else:
            st.markdown(f"{text.plain(view.ref.application)} has no policy, so there is no stage to go to.")
    with right:
        status.section("What changes")
        judged = [gate for judging in view.stages for gate in judging.gates]
        changes.show(view.difference, view.compared_with, view.compared_in, judged)
    _gates(view, stage)
    _contents(view)
    _history(view)


def _head(view: BundleView) -> None:
    who = f" by {desk.here().name_of(view.maker)}" if view.maker else ""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(
            f"{theme.icon('bundle')} **{text.plain(view.ref)}** "
            + text.plain(f"made{who} on {times.at(view.made_at)}, {times.ago(view.made_at)}")
            + f", digest {text.mono(view.digest.rpartition(':')[2], 13)}",
            width="content",
        )
        for place in view.live_in:
            st.markdown(status.badge(Tone.POSITIVE, f"live in {place}"), width="content")
    if view.quarantine:
        name = desk.here().name_of(view.quarantine.by)
        status.sentence(f"Quarantined by {name}: {view.quarantine.reason}")
        return
    main = view.stage(view.next_stage)
    if main is not None:
        status.sentence(main.standing.sentence)
    elif view.live_in:
        status.sentence(f"Live in {text.listed(list(view.live_in))}.")
    else:
        status.sentence(
            "It came through every stage, and is live nowhere now." if view.stages else "Not delivered yet."
        )


def _stage(view: BundleView) -> StageView | None:
    """The stage whose conditions are shown: the one in the address, else the next one, else the last."""
    if not view.stages:
        return None
    names = [stage.facts.stage for stage in view.stages]
    first = view.next_stage or names[-1]
    chosen = st.radio(
        "Stage",
        names,
        index=names.index(first),
        format_func=lambda name: text.plain(name, 40),
        horizontal=True,
        key="stage",
        bind="query-params",
        label_visibility="collapsed",
    )
    return view.stage(chosen) or view.stage(first)


def _buttons(view: BundleView, stage: StageView | None) -> None:
    person = desk.here().person
    with st.container(horizontal=True):
        if stage is not None and bundle.may_promote(person):
            _promote(stage)
            _run_gates(view, stage)
        if bundle.may_lead(person):
            word = "Lift quarantine" if view.quarantine else "Quarantine"
            if st.button(word, key="quarantine", icon=theme.icon("quarantine"), type="tertiary"):
                _quarantine(view)


def _promote(stage: StageView) -> None:
    facts = stage.facts
    own = facts.own_promotion
    if own is not None:
        if own.phase is Phase.AWAITING_APPROVAL and st.button(
            "Review and decide", key=f"review {own.id}", type="primary", icon=theme.icon("approval")
        ):
            st.switch_page(links.APPROVALS, query_params={"promotion": str(own.id)})
        if own.phase in OPEN_PHASES:
            offer = Offer(promotions.withdraw, (own.id,), done=f"Withdrawn: {facts.ref} for {facts.stage}.")
            actions.button("Withdraw promotion", offer, key=f"withdraw {own.id} {own.phase}", icon="withdraw")
        return
    if facts.is_live or not stage.can_be_asked_for:
        return
    # The key is that of the offer: what the page shows now. Two clicks on the same offer are one promotion.
    offer = Offer(
        promotions.request,
        (facts.ref, facts.stage),
        done=f"Asked for: {facts.ref} to {facts.stage}.",
        more={"key": stage.offer_key},
    )
    # Where a gate said no, asking again is possible, and not what the page suggests.
    look: Look = "secondary" if stage.standing.stands is Stands.NOT_READY else "primary"
    actions.button(f"Promote to {facts.stage}", offer, key=stage.offer_key, icon="promote", look=look)


def _run_gates(view: BundleView, stage: StageView) -> None:
    if not stage.gates:
        return
    place = stage.facts.stage
    latest = max((gate.run_id or 0 for gate in stage.gates), default=0)
    offer = Offer(gates.request, (view.ref, place), done=f"The gates of {place} are running.")
    actions.button(f"Run gates of {place}", offer, key=f"gates {view.ref} {place} {latest}", icon="gate")


@st.dialog("Quarantine")
@frame.guards
def _quarantine(view: BundleView) -> None:
    actions.say_in_dialog()
    if view.quarantine:
        st.markdown(f"{text.plain(view.ref)} may be promoted again.")
    else:
        where = (
            f" It stays live in {text.listed(list(view.live_in))} until somebody rolls back." if view.live_in else ""
        )
        st.markdown(f"Nobody may promote {text.plain(view.ref)} until the quarantine is lifted.{text.plain(where)}")
    field = f"reason {view.ref}"
    st.text_input("Reason", max_chars=1000, placeholder="What others should know", key=field)
    command = bundles.unquarantine if view.quarantine else bundles.quarantine
    done = f"{view.ref} may be promoted again." if view.quarantine else f"{view.ref} is quarantined."
    offer = Offer(command, (view.ref,), done=done, words={"reason": field})
    since = view.quarantine.since if view.quarantine else "never"
    label = "Lift it" if view.quarantine else "Quarantine it"
    actions.button(label, offer, key=f"quarantine {view.ref} {since}", icon="quarantine", look="primary")


def _gates(view: BundleView, stage: StageView | None) -> None:
    if stage is None:
        return
    status.section(f"Gates of {stage.facts.stage}", "gate")
    if not stage.gates:
        st.markdown(f"{text.plain(stage.facts.stage)} asks for no gate: nothing is checked there.")
    for gate in stage.gates:
        evidence.show(gate)
        if gate.blocked:
            _block(gate)
    if view.earlier_runs:
        with st.expander(text.count(len(view.earlier_runs), "earlier run")):
            rows = [
                [
                    text.plain(run.gate),
                    text.plain(run.stage),
                    status.gate(run.state, run.verdict, waived_by=run.waived_by),
                    text.plain(times.at(run.finished_at or run.requested_at)),
                    text.plain(run.summary, 300),
                ]
                for run in view.earlier_runs
            ]
            tables.table(["Gate", "Stage", "Verdict", "When", "What it found"], rows, alt="Earlier gate runs")


def _block(gate: GateLine) -> None:
    """Whether the block was right: what the catch rate is made of. Whoever judged wrongly says the other."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if gate.decision:
            said = "It was a defect" if gate.decision == "defect" else "It was a false block"
            st.caption(text.plain(f"{said}, says {desk.here().name_of(gate.decided_by)}."), width="content")
        if not bundle.may_promote(desk.here().person):
            return
        for decision, label, icon in (
            ("defect", "It was a defect", "approve"),
            ("false", "It was a false block", "reject"),
        ):
            if decision != gate.decision:
                offer = Offer(gates.decide, (gate.run_id,), done=f"{label}.", more={"defect": decision == "defect"})
                offers = f"decide {gate.run_id} "
                said_before = f"after {gate.decision} by {gate.decided_by} and {actions.number_of(offers)} here"
                actions.button(label, offer, key=f"{offers}{decision} {said_before}", icon=icon, look="tertiary")


def _contents(view: BundleView) -> None:
    status.section("What is in it", "bundle")
    lineage.picture(view)
    for gap in view.gaps:
        st.markdown(status.coloured(Tone.ATTENTION, gap.reason))
    lineage.components(view)


def _history(view: BundleView) -> None:
    status.section("Its history", "history")
    if not view.history:
        st.markdown("Nobody has asked to promote it yet.")
        return
    rows = [_line(line) for line in view.history]
    tables.table(["When", "What", "Who", "How it went", "Note"], rows, alt="Promotions of this bundle")


def _line(line: HistoryLine) -> list[str]:
    promotion, arrival = line.promotion, line.arrival
    what = f"back to {promotion.stage}" if promotion.rollback else f"to {promotion.stage}"
    how = status.phase(promotion.phase)
    if arrival and arrival.finished_at and arrival.superseded_at is None and promotion.phase.value == "succeeded":
        how = status.badge(Tone.POSITIVE, "live")
    until = f"Live until {times.at(arrival.superseded_at)}." if arrival and arrival.superseded_at else ""
    note = " ".join(part for part in (promotion.reason, promotion.note, until) if part)
    return [
        text.plain(times.at(promotion.requested_at)),
        text.plain(what),
        text.plain("automatic" if promotion.automatic else desk.here().name_of(promotion.requested_by)),
        how,
        text.plain(note, 400),
    ]


draw()
