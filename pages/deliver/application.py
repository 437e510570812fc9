"""What serves where, what served before, and how to get back."""

from __future__ import annotations

import shlex
from datetime import datetime, timedelta

import streamlit as st

from pages.components import (
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
from pages.components.charts import Bar
from pages.components.theme import Tone
from pages.deliver import astray, going_back, going_wrong, keeping_out
from services.queries import application, bundle
from services.queries.application import ApplicationView, StageNow, TimelineRow
from services.queries.drills import DrillLine
from services.rules.domain import DeploymentState


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
    going_wrong.show(view)
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
    astray.show(view)
    for stage in view.stages:
        keeping_out.show(view.name, stage)


def _marks(stage: StageNow) -> list[str]:
    marks = [status.badge(Tone.ATTENTION, "on hold")] if stage.hold else []
    if keeping_out.frozen(stage):
        marks.append(status.badge(Tone.ATTENTION, "frozen"))
    if stage.stray:
        marks.append(status.badge(Tone.ATTENTION, "moved outside Headgate"))
    return marks


def _way_back(view: ApplicationView) -> None:
    stages = [stage.stage for stage in view.stages if stage.live is not None or stage.promotion is not None]
    if view.stages and bundle.may_lead(desk.here().person):
        with st.container(horizontal=True, vertical_alignment="center"):
            if stages:
                main = view.metrics_stage if view.metrics_stage in stages else stages[-1]
                going_back.offer_it(view.name, main, tuple(stages))
            keeping_out.offer_it(view)
    if any(stage.live for stage in view.stages):
        _drills(view)


def _drills(view: ApplicationView) -> None:
    """Whether the way back works is known from having gone it."""
    for stage in view.stages:
        if stage.drill is not None:
            st.caption(f"{theme.icon('drill')} {_drilled(stage.stage, stage.drill)}")
    if not any(stage.drill for stage in view.stages):
        st.caption(f"{theme.icon('drill')} The way back was never practised here.")
    practise = next((stage.stage for stage in view.stages[-2:] if stage.live), view.metrics_stage)
    st.caption(f"A drill goes back and forward again, and measures both: {text.mono(_command(view.name, practise))}")


def _command(name: str, stage: str) -> str:
    return f"headgate drill {shlex.quote(name)} --stage {shlex.quote(stage)}"


def _drilled(stage: str, drill: DrillLine) -> str:
    when = f"{times.day(drill.at)}, {times.ago(drill.at)}"
    if drill.back_seconds is not None and drill.forward_seconds is not None:
        back, forward = (times.span(timedelta(seconds=s)) for s in (drill.back_seconds, drill.forward_seconds))
        way = f"back to {drill.to} in {back}, forward again in {forward}"
        return text.plain(f"Last drill of {stage} on {when}: {way}.")
    if not drill.outcome:
        return text.plain(f"A drill of {stage} runs since {times.at(drill.at)}.")
    return text.plain(f"The last drill of {stage} on {when} did not pass: {drill.outcome}")


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
