"""What serves where, what served before, and how to get back."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from pages.components import (
    actions,
    charts,
    desk,
    frame,
    links,
    live,
    pipeline,
    reads,
    status,
    tables,
    text,
    theme,
    times,
)
from pages.components.actions import Look, Offer
from pages.components.charts import Bar
from pages.components.theme import Tone
from services.commands import holds, rollbacks
from services.queries import application, bundle
from services.queries.application import ApplicationView, RollbackOffer, StageNow, TimelineRow
from services.rules.domain import BundleRef, DeploymentState, SlotRef


def draw() -> None:
    frame.enter("application")
    name = _name()
    if not name:
        status.sentence("No application is delivered here yet.")
        st.markdown("Apply a policy: it names the application and its stages.")
        st.code("headgate apply policy.toml", language="shell")
        return
    view = reads.read(application.detail, name)
    _head(view)
    _stages(view)
    live.watch_any([stage.promotion for stage in view.stages if stage.promotion])
    _way_back(view)
    _timeline(view)
    _policy(view)


def _name() -> str:
    """The one in the address. With one application there is nothing to choose; with several this is where."""
    names, asked = reads.read(application.names), links.parameter("name")
    if len(names) < 2 or (asked and asked not in names):
        return asked or (names[0] if names else "")
    return st.selectbox("Application", names, key="name", bind="query-params", width=320, label_visibility="collapsed")


def _head(view: ApplicationView) -> None:
    said = [part for part in (view.description, f"owned by {view.owner}" if view.owner else "") if part]
    st.caption(f"{theme.icon('application')} **{text.plain(view.name)}** {text.plain(' · '.join(said), 300)}")
    main = view.stage(view.metrics_stage)
    if main is None:
        status.sentence("It has no policy yet, so there is no stage to be live in.")
    elif main.live is None:
        status.sentence(f"Nothing is live in {main.stage} yet.")
    else:
        checked = "verified" if main.verified else "not verified" if main.checked else "not checked"
        status.sentence(f"{main.live.ref} is live in {main.stage}, {checked}, since {times.day(main.live.since)}.")


def _stages(view: ApplicationView) -> None:
    if not view.stages:
        st.code("headgate apply policy.toml", language="shell")
        return
    pipeline.show(view.stages, {stage.stage: _marks(stage) for stage in view.stages})
    for stage in view.stages:
        if stage.hold:
            _hold(view.name, stage)
        if stage.freeze:
            said = f"{stage.stage} is frozen by {desk.here().name_of(stage.freeze.by)}: {stage.freeze.reason}"
            st.markdown(status.coloured(Tone.ATTENTION, said))


def _marks(stage: StageNow) -> list[str]:
    return [status.badge(Tone.ATTENTION, "on hold")] if stage.hold else []


def _hold(name: str, stage: StageNow) -> None:
    assert stage.hold is not None
    since = f"since {times.at(stage.hold.since)} by {desk.here().name_of(stage.hold.by)}"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(
            status.coloured(
                Tone.ATTENTION,
                f"Automation is held out of {stage.stage} {since}: {stage.hold.reason}",
            ),
            width="content",
        )
        if bundle.may_lead(desk.here().person):
            slot = SlotRef(name, stage.stage)
            offer = Offer(holds.lift, (slot,), done=f"Automation may bring bundles to {stage.stage} again.")
            key = f"hold {slot} {stage.hold.since}"
            actions.button("Lift the hold", offer, key=key, icon="hold", look="tertiary")


def _way_back(view: ApplicationView) -> None:
    stages = [stage.stage for stage in view.stages if stage.live is not None or stage.promotion is not None]
    if stages and bundle.may_lead(desk.here().person):
        _offer(view.name, view.metrics_stage if view.metrics_stage in stages else stages[-1], tuple(stages))


@st.fragment
@frame.guards
def _offer(name: str, main: str, stages: tuple[str, ...]) -> None:
    """In a fragment: what there is to go back to is only looked up when somebody asks."""
    with st.container(horizontal=True, vertical_alignment="center"):
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
    """The body of the dialog: where to, what will happen in words, and why."""
    actions.say_in_dialog()
    if not offer.ways:
        st.markdown(f"Nothing else was live in {text.plain(offer.slot.stage)} before: there is nothing to go back to.")
        return
    ways = {str(way.candidate.ref): way for way in offer.ways}
    chosen = st.selectbox(
        "Back to",
        list(ways),
        index=list(ways).index(str(offer.best)) if offer.best else None,
        format_func=lambda ref: f"{ref}{_about(offer, ref)}",
        placeholder="Choose a bundle that was live here before",
        key=f"back to {offer.slot} {offer.generation}",
    )
    if chosen is None:
        st.markdown("None of them is verified and free of objections, so none is preselected.")
        return
    st.markdown(consequences(offer, chosen))
    field = f"why {offer.slot} {offer.generation}"
    st.text_area("Reason", key=field, placeholder="What went wrong, in a sentence", height=80, max_chars=1000)
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
            "quarantine": bool(quarantine),
            "key": key,
            "generation": offer.generation,
        },
        words={"reason": field},
    )
    actions.button(f"Roll back to {chosen}", command, key=key, icon="rollback", look="primary")


def _about(offer: RollbackOffer, ref: str) -> str:
    candidate = next(way.candidate for way in offer.ways if str(way.candidate.ref) == ref)
    words = ["verified" if candidate.verified else "not verified" if candidate.checked else "not checked"]
    if candidate.quarantined:
        words.append("quarantined")
    if candidate.blamed:
        words.append("rolled back before")
    left = f"live until {times.day(candidate.left_at)}" if candidate.left_at else "live before"
    return f" – {', '.join([*words, left])}"


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


def _timeline(view: ApplicationView) -> None:
    if not view.timeline:
        return
    status.section("What was live where", "history")
    now = max((row.live_from or row.started_at for row in view.timeline), default=datetime.min)
    bars = _bars(view, max(now, reads.now()))
    rows = list(_rows(view).values())
    if bars:
        charts.timeline(bars, rows, reads.now(), alt=_said(view), key="timeline")
    with st.expander(text.count(len(view.timeline), "deployment")):
        tables.table(
            ["Stage", "Bundle", "Kind", "How it went", "Live from", "Live until", "Note"],
            [_row(row) for row in view.timeline],
            alt="Deployments, the newest first",
        )


def _rows(view: ApplicationView) -> dict[str, str]:
    """A row a stage, with what is live there now: a bar of a few minutes would be too narrow to say so."""
    return {s.stage: f"{s.stage}: {s.live.ref.number}" if s.live else s.stage for s in view.stages}


def _bars(view: ApplicationView, now: datetime) -> list[Bar]:
    rows = _rows(view)
    return [
        Bar(
            row=rows.get(row.stage, row.stage),
            label=f"{row.ref.number} rolled back" if row.rolled_back else str(row.ref.number),
            begins=row.live_from,
            ends=row.live_until or now,
            hover=(str(row.ref), charts.lasted(row.live_from, row.live_until, now), _went(row)),
            tone=Tone.NEGATIVE if row.rolled_back else None,
            accent=row.live_until is None,
        )
        for row in reversed(view.timeline)
        if row.live_from is not None
    ]


def _went(row: TimelineRow) -> str:
    return f"{row.kind.value}, rolled back" if row.rolled_back else row.kind.value


def _said(view: ApplicationView) -> str:
    now = [f"{stage.live.ref} in {stage.stage}" for stage in view.stages if stage.live]
    return f"Which bundle was live in which stage, from when to when. Now: {', '.join(now) or 'nothing'}."


def _row(row: TimelineRow) -> list[str]:
    until = times.at(row.live_until) if row.live_until else "now" if row.live_from else "–"
    return [
        text.plain(row.stage),
        text.plain(row.ref),
        text.plain(_went(row)),
        status.deployment(row.state) if row.state is not DeploymentState.SUCCEEDED or row.live_until else _live(),
        text.plain(times.at(row.live_from)) if row.live_from else "–",
        text.plain(until),
        text.plain(row.note, 200),
    ]


def _live() -> str:
    return status.badge(Tone.POSITIVE, "live")


def _policy(view: ApplicationView) -> None:
    if not view.revisions:
        return
    status.section("Policy", "policy")
    numbers = [revision.number for revision in view.revisions]
    by_number = {revision.number: revision for revision in view.revisions}
    current = next((revision.number for revision in view.revisions if revision.in_force), numbers[0])
    number = current
    if len(numbers) > 1:
        number = st.selectbox("Revision", numbers, index=numbers.index(current), key="revision", width=140)
    shown = by_number[number]
    who = desk.here().name_of(shown.actor)
    state = "in force" if shown.in_force else "no longer in force"
    st.caption(
        text.plain(f"Revision {shown.number}, {state}, applied by {who} on {times.at(shown.at)}")
        + f", digest {text.mono(shown.digest.rpartition(':')[2], 13)}"
    )
    with st.expander("The rules as they were written"):
        st.code(shown.toml, language="toml")


draw()
