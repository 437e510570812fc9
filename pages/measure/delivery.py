"""How often, how fast and how safely bundles reach production, and where the time goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from statistics import median

import streamlit as st

from pages.components import behind, course, figures, frame, reads, scope, status, text, tiles, times
from pages.components.theme import Tone
from services.queries import measures
from services.queries.measures import Measured
from services.rules.metrics import BY_NAME, PartName
from services.rules.spoken import of_hours, share

THROUGHPUT = {
    "deployment_frequency": ("deployment_days_per_week",),
    "change_lead_time": ("change_lead_time_p90",),
    "failed_deployment_recovery_time": ("failed_deployment_recovery_time_p90", "recovery_open"),
}
INSTABILITY = {"change_fail_rate": ("maturing_deployments",), "deployment_rework_rate": ("promotion_success",)}
AI = {
    "lead_time_training": ("lead_time_training_p90",),
    "lead_time_data": ("lead_time_data_p90",),
    "rollback_time": ("rollback_time_max", "rollbacks_failed"),
    "model_age": ("model_age_mean", "data_age"),
    "gate_catch_rate": (),
    "false_block_rate": (),
}
COURSES = (
    "change_lead_time",
    "lead_time_training",
    "lead_time_data",
    "failed_deployment_recovery_time",
    "rollback_time",
)
WAITS = ("wait_gates", "wait_approval", "wait_queue", "wait_deploy", "flow_efficiency")
RELEASES_SHOWN = 20
IN_WORDS = {
    PartName.REGISTRATION: "being registered",
    PartName.REQUEST: "waiting to be requested",
    PartName.GATES: "spent in gates",
    PartName.APPROVAL: "waiting for approval",
    PartName.QUEUE: "in the queue",
    PartName.DEPLOY: "deploying",
}


def draw() -> None:
    frame.enter("delivery")
    asked = scope.of_address()
    found = reads.read(
        measures.measured,
        asked.applications,
        teams=asked.teams,
        within=asked.within,
        as_of=asked.as_of,
    )
    if not found.known:
        _empty()
        return
    _first_sentence(found)
    scope.choose(found.known, asked)
    _printed(found)
    _tiles("Throughput", found, THROUGHPUT, 3)
    _instability(found)
    _tiles("Delivering models", found, AI, 3)
    _course(found)
    _where_the_time_went(found)
    _data_quality(found)


def _empty() -> None:
    status.sentence("Nothing is delivered here yet.")
    st.markdown("Apply a policy and bring a bundle to production, or bring in the history of before.")
    st.code("headgate apply policy.toml\nheadgate sync\n\nheadgate deployment import deployments.csv", language="shell")


def _first_sentence(found: Measured) -> None:
    values = found.values
    forward, failed = values["deployments"], values["failed_deployments"]
    if not forward.n:
        status.sentence("Nothing was deployed to production in this window.")
        st.markdown("Choose a longer one, or other applications.")
        return
    went = f"{text.count(forward.n, 'deployment')} to production in {text.count(found.within.days, 'day')}"
    if not found.incidents_are_reported and not failed.n:
        status.sentence(f"{went}; whether any failed, nobody reports.")
    else:
        status.sentence(f"{went}; {failed.n or 'none'} failed.")
    lead, training, still_open = values["change_lead_time"], values["lead_time_training"], values["recovery_open"]
    said = []
    if lead.value is not None:
        said.append(f"Half of the changes were live within {figures.value(lead)} of their commit.")
    if training.value is not None:
        said.append(f"A retrained model took {figures.value(training)} from the end of its training.")
    if still_open.n:
        said.append(f"{text.count(still_open.n, 'failure')} {'is' if still_open.n == 1 else 'are'} still open.")
    if said:
        st.markdown(text.plain(" ".join(said)))


def _printed(found: Measured) -> None:
    """What every number depends on."""
    over = " The last day is not over." if found.within.partial(found.as_of) else ""
    changed = f" The record last changed {times.ago(found.changed_at)}." if found.changed_at else ""
    days = f"{scope.said(found.within)}, days of {found.within.zone}, as of {times.at(found.as_of)}."
    st.caption(text.plain(f"{days}{over}{changed}"))


def _tiles(title: str, found: Measured, names: Mapping[str, tuple[str, ...]], columns: int) -> None:
    status.section(title)
    with st.grid(columns, min_column_width=280, gap="small"):
        for name, beside in names.items():
            tiles.tile(found, name, *beside)


def _instability(found: Measured) -> None:
    _tiles("Instability", found, INSTABILITY, 2)
    if not found.incidents_are_reported:
        st.markdown(status.coloured(Tone.ATTENTION, "No incident source is connected: this is not “nothing failed”."))
        st.caption(
            "Only rollbacks and hotfixes can show a failure. `headgate incident open` records an incident, "
            "`headgate incident import` brings in those of before."
        )
    elif found.values["deployments"].n and not found.values["failed_deployments"].n:
        st.markdown(status.coloured(Tone.POSITIVE, "Nothing failed in this window, and incidents are recorded."))
    apart = found.values["unattributed_incidents"]
    if apart.n:
        st.markdown(
            status.coloured(
                Tone.ATTENTION,
                f"{text.count(apart.n, 'incident')} that no deployment is known to have caused: in no rate.",
            )
        )
        behind.button(found, "unattributed_incidents")


def _course(found: Measured) -> None:
    status.section("Week by week")
    with_samples = [name for name in COURSES if found.values[name].n]
    if not with_samples:
        st.caption("Nothing in this window has a duration.")
        return
    name = st.radio(
        "Duration",
        with_samples,
        format_func=lambda name: BY_NAME[name].title,
        horizontal=True,
        key="course",
        label_visibility="collapsed",
    )
    st.caption("Click a point for the deployment behind it, or the line of a week for all of that week.")
    picked = course.trend(found, name)
    if picked is not None:
        _picked(found, picked, name)


def _picked(found: Measured, picked: course.Picked, name: str) -> None:
    st.markdown(f"**{text.plain(picked.words[:1].upper() + picked.words[1:])}**")
    rows = [found.row(s.subject, s.id, s.at, s.value, s.detail) for s in picked.samples]
    is_mark = picked.words.startswith("one ") and picked.words != "one point"
    behind.table(rows, None if is_mark else found.values[name], f"{name}.csv", key=f"picked {name}")


def _where_the_time_went(found: Measured) -> None:
    status.section("Where the time went")
    if not found.ledgers:
        st.caption("No release of this window has a known beginning.")
    else:
        st.markdown(f"**{text.plain(_largest(found))}**")
        newest = tuple(reversed(found.ledgers[-RELEASES_SHOWN:]))
        if len(newest) < len(found.ledgers):
            st.caption(f"The newest {len(newest)} of {len(found.ledgers):,} releases, and all of them together.")
        picked = course.ledgers(found, newest)
        if picked is not None:
            _picked(found, picked, "lead_time_training")
    if found.values["wait_total"].n:
        st.markdown("**From request to finish**, on average")
        with st.grid(5, min_column_width=180, gap="small"):
            for name in WAITS:
                _wait(found, name)


def _wait(found: Measured, name: str) -> None:
    with st.container(border=True, gap="xsmall", height="stretch"):
        value = found.values[name]
        number = text.plain(figures.value(value))
        st.caption(BY_NAME[name].title)
        st.markdown(f"**:gray[{number}]**" if value.too_few else f"**{number}**")
        behind.button(found, name, brief=True)


def _largest(found: Measured) -> str:
    """`From training to production 61 % of the time was waiting for approval; median 19 hours.`"""
    hours = {name: course.hours_of(found.parts, name) for name in PartName}
    total, largest = sum(hours.values()), max(hours, key=lambda name: hours[name])
    if not total:
        return "The releases of this window took no time at all."
    trained = {one.from_training for one in found.ledgers}
    since = "training" if trained == {True} else "request" if trained == {False} else "training or request"
    middle = median(course.hours_of(one.parts, largest) for one in found.ledgers)
    part = share(hours[largest] / total)
    return f"From {since} to production {part} of the time was {IN_WORDS[largest]}; median {of_hours(middle)}."


def _data_quality(found: Measured) -> None:
    status.section("Data quality")
    rows = found.quality
    if not rows:
        st.markdown(status.coloured(Tone.POSITIVE, "Nothing in the record of this window needs a look."))
        return
    with st.container(border=True):
        st.metric("Rows to look at", f"{len(rows):,}", help=text.plain(BY_NAME["data_quality"].method))
        with st.container(horizontal=True):
            for kind, number in Counter(row.kind for row in rows).items():
                label = f"{number:,} × {text.plain(kind.value)}"
                if st.button(label, key=f"quality {kind.value}", type="tertiary", icon=":material/list:"):
                    _doubts(found, kind.value)


@st.dialog("Rows to look at", width="large", position="right", icon=":material/list:")
@frame.guards
def _doubts(found: Measured, kind: str) -> None:
    rows = tuple(row for row in found.quality if row.kind.value == kind)
    status.section(kind.capitalize())
    behind.quality_table(found, rows, f"{kind}.csv", key=f"doubts {kind}")


draw()
