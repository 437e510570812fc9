"""Incidents, on the Application page: what went wrong, what caused it, what was done; opening, linking, closing.

Part of the Application page, and no page of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import streamlit as st

from pages.components import actions, desk, frame, reads, status, tables, text, theme, times
from pages.components.actions import Offer
from pages.components.theme import Tone
from services.commands import incidents, responses
from services.commands.incidents import NONE_NEEDED, Severity
from services.commands.responses import Response
from services.queries import application, bundle
from services.queries import incidents as reading
from services.queries.application import ApplicationView, StageNow, TimelineRow
from services.queries.incidents import IncidentLine
from services.rules.domain import Blame, BundleRef, Cause, DeploymentState, SlotRef

SHOWN = 5
BLAMABLE_SHOWN = 30
NO_DEPLOYMENT = "No deployment"
BACK, QUARANTINE, HOLD = "Roll back", "Quarantine", "Hold"


def show(view: ApplicationView) -> None:
    """The newest of them in full, those that are open first; the others in a table."""
    found = reads.read(reading.listing, view.name)
    status.section("Incidents", "incident")
    main = view.stage(view.metrics_stage)
    if not found:
        st.caption(
            "None is recorded. That is not the same as “nothing failed”: is anything connected that reports them?"
        )
    if main is not None and bundle.may_promote(desk.here().person):
        _offer_to_open(view, main, len(found))
    for line in found[:SHOWN]:
        _incident(view, line)
    if len(found) > SHOWN:
        with st.expander(f"{text.count(len(found) - SHOWN, 'more incident')}"):
            tables.table(
                ["Incident", "Began", "Over", "Caused by", "What was done"],
                [_row(line) for line in found[SHOWN:]],
                alt="Incidents, the newest first",
            )


def _incident(view: ApplicationView, line: IncidentLine) -> None:
    with st.container(gap="xxsmall", border=True):
        badges = [status.badge(Tone.NEGATIVE, "open") if line.open else status.badge(Tone.NEUTRAL, "over")]
        badges += [status.badge(Tone.NEUTRAL, line.severity)] if line.severity else []
        st.markdown(f"**{text.plain(line.title, 200)}** {' '.join(badges)}")
        st.caption(
            text.plain(f"Began {times.at_and_ago(line.impact_started_at)}, noticed {times.at(line.detected_at)}.")
        )
        st.markdown(_cause(line))
        if not line.open:
            st.markdown(text.plain(_ending(line), 600))
        if bundle.may_promote(desk.here().person):
            _offer_to_change(view, line)


def _cause(line: IncidentLine) -> str:
    if line.cause is Cause.NONE:
        return text.plain("No deployment caused it, as somebody here said.")
    if line.caused_by is None:
        return text.plain("No deployment is known to have caused it.")
    said = text.plain(f"Caused by {line.bundle}, deployment {line.caused_by}.")
    return f"{said} {status.badge(Tone.ATTENTION, 'inferred from the times')}" if line.inferred else said


def _ending(line: IncidentLine) -> str:
    caught = "" if not line.caught_by else f" Would have been caught by: {line.caught_by}."
    if line.caught_by == NONE_NEEDED:
        caught = " No gate was needed for it."
    return f"Over {times.at(line.resolved_at)}: {line.done or 'nobody wrote down what was done.'}{caught}"


def _row(line: IncidentLine) -> list[str]:
    none = NO_DEPLOYMENT if line.cause is Cause.NONE else "–"
    cause = f"{line.bundle} (inferred)" if line.inferred else line.bundle or none
    return [
        text.plain(line.title, 120),
        text.plain(times.at(line.impact_started_at)),
        text.plain(times.at(line.resolved_at) if line.resolved_at else "open"),
        text.plain(cause),
        text.plain(line.done, 200),
    ]


# -- opening -----------------------------------------------------------------------------------------------------


@st.fragment
@frame.guards
def _offer_to_open(view: ApplicationView, main: StageNow, known: int) -> None:
    if st.button("Open an incident", key="open an incident", icon=theme.icon("incident")):
        _open(view, main.stage, known)


@st.dialog("Open an incident", width="medium", icon=theme.icon("incident"))
@frame.guards
def _open(view: ApplicationView, stage: str, known: int) -> None:
    open_on_what_is_live(view, stage, known)


def open_on_what_is_live(view: ApplicationView, stage: str, known: int) -> None:
    """The body of the dialog. `known` incidents make this one another offer than the one before."""
    actions.say_in_dialog()
    place = view.stage(stage)
    live = place.live if place else None
    key = f"incident {known + 1} of {view.name} on {live.deployment_id if live else 0} by {desk.here().person.name}"
    fields = {name: f"{name} {key}" for name in ("title", "severity")}
    moments = {name: f"{name} {key}" for name in ("impact_started_at", "detected_at")}
    st.text_input("What went wrong", key=fields["title"], max_chars=200, placeholder="In a few words")
    st.selectbox("Severity", list(Severity), index=None, key=fields["severity"], placeholder="Not said")
    left, right = st.columns(2)
    left.datetime_input("Impact since (UTC); empty: now", value=None, key=moments["impact_started_at"])
    right.datetime_input("Noticed (UTC); empty: now", value=None, key=moments["detected_at"])
    cause = _deployment(view, stage, Cause.UNKNOWN, f"cause {key}")
    response = _response(view, stage, key)
    offer = Offer(
        responses.open_and_respond,
        (response,),
        done="The incident is open.",
        more={"key": key, "caused_by": cause},
        words=fields,
        moments=moments,
    )
    actions.button("Open it", offer, key=f"{key} {response}", icon="incident", look="primary")


def _response(view: ApplicationView, stage: str, key: str) -> Response:
    """What a lead may do about it with the same press."""
    slot, place = SlotRef(view.name, stage), view.stage(stage)
    if place is None or place.live is None or not bundle.may_lead(desk.here().person):
        return Response(slot)
    live = place.live.ref
    offer = reads.read(application.rollback_offer, slot)
    meant = {QUARANTINE: f"Quarantine {live}, so that nobody promotes it again"}
    if place.hold is None:
        meant[HOLD] = f"Hold {stage}: automation stays out"
    if offer.best is not None:
        meant = {BACK: f"Roll {stage} back to {offer.best}, which also holds it", **meant}
    st.caption(text.plain(f"{live} is live in {stage}. With the same press:"))
    if place.quarantined:
        meant.pop(QUARANTINE)
    chosen = {name for name, said in meant.items() if st.checkbox(text.plain(said), key=f"{name} {key}")}
    return Response(
        slot,
        back_to=offer.best if BACK in chosen else None,
        generation=offer.generation,
        quarantine=BundleRef(live.application, live.number) if QUARANTINE in chosen else None,
        hold=HOLD in chosen,
    )


# -- linking and closing -----------------------------------------------------------------------------------------


@st.fragment
@frame.guards
def _offer_to_change(view: ApplicationView, line: IncidentLine) -> None:
    with st.container(horizontal=True):
        if line.open and st.button("Close it", key=f"close {line.id}", icon=theme.icon("approve")):
            _close(view, line)
        if st.button("Correct the cause", key=f"link {line.id}", type="tertiary", icon=theme.icon("deployment")):
            _link(view, line)


@st.dialog("Close an incident", icon=theme.icon("incident"))
@frame.guards
def _close(view: ApplicationView, line: IncidentLine) -> None:
    close(view, line)


def close(view: ApplicationView, line: IncidentLine) -> None:
    """The body of the dialog: what was done, and which gate would have caught it."""
    actions.say_in_dialog()
    st.markdown(f"**{text.plain(line.title, 200)}**")
    done, caught, over = (f"{name} {line.id}" for name in ("done", "caught", "over"))
    st.text_area("What was done", key=done, height=80, max_chars=1000, placeholder="In a sentence")
    gates = list(dict.fromkeys(gate for stage in view.stages for gate in stage.gates))
    st.selectbox(
        "Which gate would have caught it?",
        [*gates, NONE_NEEDED],
        index=None,
        key=caught,
        placeholder="Choose one, or write the one there should be",
        accept_new_options=True,
    )
    st.datetime_input("Over since (UTC); empty: now", value=None, key=over)
    offer = Offer(
        incidents.resolve,
        (line.id,),
        done=f"“{line.title}” is closed.",
        words={"done": done, "caught_by": caught},
        moments={"resolved_at": over},
    )
    actions.button("Close it", offer, key=f"closing {line.id}", icon="approve", look="primary")


@st.dialog("Correct the cause", icon=theme.icon("incident"))
@frame.guards
def _link(view: ApplicationView, line: IncidentLine) -> None:
    link(view, line)


def link(view: ApplicationView, line: IncidentLine) -> None:
    """The body of the dialog: which deployment, none of them, or what the rule says."""
    actions.say_in_dialog()
    st.markdown(f"**{text.plain(line.title, 200)}** {_cause(line)}")
    now: Blame = line.caused_by if line.caused_by is not None else _unlinked(line)
    chosen = _deployment(view, view.metrics_stage, now, f"linked {line.id} {now}")
    offer = Offer(incidents.link, (line.id, chosen), done="The cause is corrected.")
    key = f"linking {line.id} from {line.cause} {line.caused_by} to {chosen}"
    actions.button("That was it", offer, key=key, icon="deployment", look="primary")


def _unlinked(line: IncidentLine) -> Literal[Cause.UNKNOWN, Cause.NONE]:
    return Cause.NONE if line.cause is Cause.NONE else Cause.UNKNOWN


def _deployment(view: ApplicationView, stage: str, now: Blame, key: str) -> Blame:
    """A deployment that served in the stage, none at all, or what the rule will say."""
    rows = {row.deployment_id: row for row in _served(view, stage)}
    known: list[Blame] = [Cause.UNKNOWN, Cause.NONE, *rows]
    choices = known if now in known else [*known, now]
    return st.selectbox(
        "Caused by", choices, index=choices.index(now), format_func=lambda cause: _said(rows, cause), key=key
    )


def _said(rows: Mapping[int, TimelineRow], cause: Blame) -> str:
    if isinstance(cause, Cause):
        return NO_DEPLOYMENT if cause is Cause.NONE else "Not known: the rule infers it"
    row = rows.get(cause)
    return f"{row.ref}, live from {times.at(row.live_from)}" if row else f"deployment {cause}"


def _served(view: ApplicationView, stage: str) -> Sequence[TimelineRow]:
    served = [row for row in view.timeline if row.stage == stage and row.state is DeploymentState.SUCCEEDED]
    return served[:BLAMABLE_SHOWN]
