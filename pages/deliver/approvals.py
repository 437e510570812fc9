"""What am I signing, on what evidence, and what changes when I do?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from pages.components import (
    actions,
    changes,
    conditions,
    desk,
    evidence,
    frame,
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
from services.commands import approvals, gates, promotions
from services.queries import inbox, watching
from services.queries.common import PromotionLine
from services.queries.inbox import Decided, Inbox, Question
from services.rules.domain import Decision, Phase

DONE = {"Approve": "Approved", "Reject": "Rejected", "Withdraw": "Withdrawn"}


def draw() -> None:
    frame.enter("approvals")
    found = reads.read(inbox.inbox, desk.here().person)
    asked = links.parameter("promotion")
    waiting = {str(question.promotion.id) for question in found.questions}
    if asked.isdigit() and asked not in waiting:
        _no_longer_waiting(reads.read(watching.promotion, int(asked)).promotion, found)
    else:
        status.sentence(_first_sentence(found))
        question = _chosen(found, asked)
        if question is not None:
            _question(question)
        else:
            st.markdown("When somebody asks to bring a bundle to a stage that wants an approval, it is shown here.")
            links.to_bundles("Look at the bundles")
    _decided(found.decided)


def _first_sentence(found: Inbox) -> str:
    mine, all_of_them = len(found.mine), len(found.questions)
    if mine:
        return f"{text.count(mine, 'promotion')} {'waits' if mine == 1 else 'wait'} for you."
    if all_of_them:
        return f"Nothing waits for you; {'at least ' if found.more else ''}{all_of_them} for others."
    return "Nothing waits for an approval."


def _no_longer_waiting(line: PromotionLine, found: Inbox) -> None:
    """What became of the promotion in the address."""
    match line.phase:
        case Phase.SUCCEEDED:
            status.sentence(f"{line.ref} went live in {line.stage}.")
        case Phase.DEPLOYING:
            status.sentence(f"{line.ref} is on its way to {line.stage}.")
        case _:
            status.sentence(f"{line.ref} for {line.stage}: {theme.PHASES[line.phase][1]}.")
    if line.note:
        st.markdown(text.plain(line.note, 400))
    live.watch(line)
    with st.container(horizontal=True):
        links.to_bundle(line.ref)
        links.to_application(line.application)
        if found.questions:
            links.to_approvals(_first_sentence(found))


def _chosen(found: Inbox, asked: str) -> Question | None:
    """The one in the address, else the first that waits for this person, else the first."""
    by_id = {str(question.promotion.id): question for question in found.questions}
    ordered = [*found.mine, *(q for q in found.questions if q.barred)]
    if len(ordered) > 1:
        chosen = st.radio(
            "Waiting",
            [str(question.promotion.id) for question in ordered],
            horizontal=True,
            format_func=lambda key: text.plain(f"{by_id[key].promotion.ref} to {by_id[key].promotion.stage}", 60),
            label_visibility="collapsed",
            key="promotion",
            bind="query-params",
        )
        return by_id.get(chosen or "", ordered[0])
    return ordered[0] if ordered else None


def _question(question: Question) -> None:
    line = question.promotion
    with st.container(border=True):
        _asked(question)
        _decide(question)
    left, right = st.columns([3, 2], gap="large")
    with left:
        status.section("What changes")
        changes.show(question.difference, question.live.ref if question.live else None, line.stage, question.judged)
    with right:
        status.section("What you sign" if _may_approve(question) else "The evidence")
        _evidence(question)


def _asked(question: Question) -> None:
    line = question.promotion
    name = desk.here().name_of
    who = f"Asked for by {name(line.requested_by)} {times.ago(line.requested_at)}"
    made = f"made by {name(question.maker)}" if question.maker else "its maker is not known"
    waits = f"waiting since {times.at(line.approval_opened_at)}" if line.approval_opened_at else "waiting"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        links.to_bundle(line.ref)
        over = f"in place of {question.live.ref}" if question.live else "where nothing is live yet"
        st.markdown(f"goes to **{text.plain(line.stage)}** {text.plain(over)}.", width="content")
    st.caption(text.plain(f"{who}; {made}; {waits}."))
    if line.reason:
        st.markdown(f"“{text.plain(line.reason)}”")


def _decide(question: Question) -> None:
    """The keys carry what is seen: should it change, a click on the old button does nothing."""
    line = question.promotion
    seen = f"{line.id} {line.version} {question.evidence_digest}"
    if question.barred:
        st.markdown(status.coloured(Tone.NEUTRAL, question.barred))
    if not (_may_approve(question) or _may_reject(question) or _may_withdraw(question)):
        return
    if question.evidence_has_aged:
        _aged(question, seen)
    st.text_input(
        "Comment", key=f"comment {seen}", placeholder="Why, in a sentence. A rejection needs one.", max_chars=1000
    )
    with st.container(horizontal=True):
        if _may_approve(question):
            _button("Approve", approvals.approve, question, seen, look="primary", seen=question.evidence_digest)
        if _may_reject(question):
            _button("Reject", approvals.reject, question, seen)
        if _may_withdraw(question):
            _button("Withdraw", promotions.withdraw, question, seen)


def _button(
    label: str, command: Callable[..., Any], question: Question, offered: str, look: Look = "secondary", **more: str
) -> None:
    line = question.promotion
    offer = Offer(
        command,
        (line.id,),
        done=f"{DONE[label]}: {line.ref} for {line.stage}.",
        more={"version": line.version, **more},
        words={"reason" if label == "Withdraw" else "comment": f"comment {offered}"},
        address={"promotion": str(line.id)},  # so that the page shows what becomes of it, and not the next in line
    )
    aged = label == "Approve" and question.evidence_has_aged
    actions.button(label, offer, key=f"{label} {offered}", icon=label.lower(), look=look, disabled=aged)


def _aged(question: Question, seen: str) -> None:
    line = question.promotion
    reason = next(c.reason for c in question.standing.conditions if c.name == "gates")
    st.markdown(status.coloured(Tone.ATTENTION, f"The evidence has to be renewed before it can be approved: {reason}"))
    offer = Offer(gates.request, (line.ref, line.stage), done="The gates are running again.")
    actions.button("Run the gates again", offer, key=f"gates {seen}", icon="rerun")


def _may_approve(question: Question) -> bool:
    return not question.barred


def _may_reject(question: Question) -> bool:
    return inbox.may_reject(desk.here().person, question)


def _may_withdraw(question: Question) -> bool:
    return desk.here().person.name == question.promotion.requested_by


def _evidence(question: Question) -> None:
    missing = [c for c in question.standing.conditions if not c.met and c.name != "approvals"]
    if missing:
        conditions.show(missing)
    have = [
        f"{desk.here().name_of(a.person)}{' (self-approved)' if a.self_approved else ''}" for a in question.approvals
    ]
    so_far = f"; so far {text.listed(have)}" if have else ""
    st.caption(text.plain(f"{text.count(question.approvals_needed, 'approval')} needed{so_far}."))
    for gap in question.gaps:
        st.markdown(status.coloured(Tone.NEUTRAL, gap.reason))
    if not question.gates:
        st.markdown(status.coloured(Tone.NEUTRAL, f"{question.promotion.stage} asks for no gate: nothing is checked."))
    for gate in question.gates:
        evidence.show(gate)
    st.caption(f"An approval is bound to the digest {text.mono(question.evidence_digest, 20)}.")


def _decided(decided: tuple[Decided, ...]) -> None:
    if not decided:
        return
    status.section("Decided lately", "history")
    rows = [
        [
            status.badge(Tone.POSITIVE if line.decision is Decision.APPROVED else Tone.NEGATIVE, line.decision.value),
            text.plain(f"{line.ref} to {line.stage}"),
            text.plain(desk.here().name_of(line.person) + (", self-approved" if line.self_approved else "")),
            text.plain(times.at(line.at)),
            text.plain(line.comment, 300),
        ]
        for line in decided
    ]
    tables.table(["Decision", "What", "Who", "When", "Comment"], rows, alt="The latest decisions")


draw()
