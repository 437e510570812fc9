"""Can delivery be trusted? Five questions, each with a measured answer, and what it takes for a yes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import streamlit as st

from pages.components import frame, links, reads, status, tables, text, theme, times
from pages.components.theme import Tone
from services import settings
from services.queries import confidence
from services.queries.confidence import Confidence
from services.rules.confidence import (
    FAIL_LIMIT,
    LEAD_LIMIT,
    LOOKED_AT_WITHIN,
    REWORK_LIMIT,
    ROLLBACK_LIMIT,
    TESTED_LIMIT,
    TRIED_WITHIN,
    Month,
    Named,
    Recorded,
    State,
    Target,
)
from services.rules.metrics import LedgerPart
from services.rules.metrics.values import LEAST_TO_JUDGE
from services.rules.preflight import Answer as Safety

STATES = {
    State.YES: (Tone.POSITIVE, "yes"),
    State.NO: (Tone.NEGATIVE, "no"),
    State.UNKNOWN: (Tone.NEUTRAL, "not yet known"),
}
SHOWN = 12
CHOICE = "application"


@dataclass(frozen=True)
class Answer:
    """One question as the page shows it. `words` are plain text, `marks` Markdown; `link` draws the evidence's link."""

    question: str
    state: State
    words: str
    limit: str
    measure: str
    number: str
    trend: Sequence[Month]
    written: Callable[[float], str]
    marks: Sequence[str] = ()
    link: Callable[[], None] | None = None
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = field(default=())


def draw() -> None:
    frame.enter("confidence")
    asked = st.session_state[CHOICE] if CHOICE in st.session_state else links.parameter(CHOICE)
    found = reads.read(confidence.confidence, asked, settings.load().zone)
    if not found.applications:
        status.sentence("Nothing is delivered here yet, so there is nothing to be confident of.")
        st.markdown("Apply a policy and bring a bundle to production: the answers are measured from then on.")
        st.code("headgate apply policy.toml", language="shell")
        return
    if len(found.applications) > 1:
        st.selectbox(
            "Application",
            ["", *found.applications],
            format_func=lambda name: name or "All applications",
            key=CHOICE,
            bind="query-params",
            width=320,
            label_visibility="collapsed",
        )
    answers = (_lead_time(found), _tests(found), _way_back(found), _reproducible(found), _holding(found))
    status.sentence(_summary(found, answers))
    st.caption(text.plain(_window(found)))
    for answer in answers:
        _show(answer)


def _summary(found: Confidence, answers: Sequence[Answer]) -> str:
    number = {state: sum(answer.state is state for answer in answers) for state in State}
    whose = f"For {found.application}" if found.application else "Of five questions"
    parts = [f"{number[state]} {word}" for state, (_, word) in STATES.items() if number[state]]
    return f"{whose}: {text.listed(parts)}."


def _window(found: Confidence) -> str:
    days = f"{found.window.first:%-d %b %Y} to {times.day(found.as_of)}"
    return f"{found.window.days} days, {days}, in the zone {found.window.zone}. As of {times.at(found.as_of)}."


def _show(answer: Answer) -> None:
    """Without anything that must be opened to see it, and low enough for five of them on one printed page."""
    with st.container(border=True, gap="xxsmall"):
        left, right = st.columns([3, 1], gap="medium")
        with left, st.container(gap="xxsmall"):
            status.section(answer.question)
            st.markdown(f"{status.badge(*STATES[answer.state])} {text.plain(answer.words)}")
            if answer.marks:
                st.markdown("  \n".join(answer.marks))
            st.caption(text.plain(answer.limit))
            _evidence(answer)
        with right, st.container(gap="xxsmall"):
            _number(answer)


def _evidence(answer: Answer) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if answer.link is not None:
            answer.link()
        if answer.rows:
            label = f"{text.count(len(answer.rows), 'row')} behind it"
            with st.popover(label, type="tertiary", icon=theme.icon("search"), key=f"rows {answer.measure}"):
                tables.table(answer.columns, answer.rows, alt=f"Evidence: {answer.question}")


def _number(answer: Answer) -> None:
    known = [month.value for month in answer.trend if month.value is not None]
    st.metric(answer.measure, answer.number, chart_data=known if len(known) > 1 else None)
    months = [
        f"{month.first:%b} {'–' if month.value is None else answer.written(month.value)}" for month in answer.trend
    ]
    st.caption(text.plain(" · ".join(months)))


# -- the five ----------------------------------------------------------------------------------------------------


def _lead_time(found: Confidence) -> Answer:
    lead = found.lead_time
    if lead.median.value is None:
        words = f"No model version of ours reached production in these {found.window.days} days."
    else:
        versions = text.count(lead.median.n, "model version")
        words = f"Half of {versions} went live within {_hours(lead.median.value)} of the end of their training."
        if lead.largest and lead.share:
            words += f" The largest part, {_percent(lead.share)} of the time: {_part(lead.largest)}."
    slowest = max(lead.rows, key=lambda row: row.duration, default=None)
    return Answer(
        question="How long does it take to push a retrained model to production?",
        state=lead.state,
        words=words,
        limit=f"Yes: a median of at most {times.span(LEAD_LIMIT)}, of at least {LEAST_TO_JUDGE} model versions.",
        measure="Training to live, median",
        number=_hours(lead.median.value) if lead.median.value is not None else "none yet",
        trend=lead.trend,
        written=_hours,
        link=_to(slowest.bundle, "Slowest") if slowest else None,
        columns=["Bundle", "Live since", "From training to live"],
        rows=[_cells(row.bundle.label, times.at(row.at), times.span(row.duration)) for row in lead.rows],
    )


def _part(part: LedgerPart) -> str:
    return f"{part.name.value}, {part.stage}" if part.stage else part.name.value


def _tests(found: Confidence) -> Answer:
    tests, caught = found.tests, found.tests.last_caught
    if not tests.arrived:
        words = f"No bundle whose gates ran here arrived in production in these {found.window.days} days."
    else:
        words = (
            f"The data of {tests.tested} of {text.count(tests.arrived, 'bundle')} in production passed a schema and a "
            f"drift gate ({tests.passed['schema']} schema, {tests.passed['drift']} drift)."
        )
    covered, columns = sum(one.covered for one in tests.columns), sum(one.found for one in tests.columns)
    if columns:
        words += f" {covered} of {columns} columns of what is live are covered."
    if tests.imported:
        words += f" {text.count(tests.imported, 'imported bundle')} left out: what was tested is not known."
    return Answer(
        question="Are there automated tests for the data pipelines?",
        state=tests.state,
        words=words,
        limit=f"Yes: at least {_percent(TESTED_LIMIT)} of the bundles, of at least {LEAST_TO_JUDGE}.",
        measure="Data passed both gates",
        number=_percent(tests.tested / tests.arrived) if tests.arrived else "none yet",
        trend=tests.trend,
        written=_percent,
        marks=[
            status.coloured(
                Tone.NEGATIVE, f"Last caught: {caught.bundle.label} by {caught.gate}, {times.day(caught.at)}."
            )
            + " "
            + text.plain(caught.summary, 70)
        ]
        if caught
        else ["No failure was caught yet."],
        link=_to(caught.bundle, "Caught") if caught else None,
        columns=["Live bundle", "Columns covered"],
        rows=[_cells(one.bundle.label, f"{one.covered} of {one.found}") for one in tests.columns[:SHOWN]],
    )


def _way_back(found: Confidence) -> Answer:
    back = found.way_back
    tried = f"{text.count(back.rollbacks.n, 'rollback')} and {text.count(len(back.drills), 'drill')}"
    longest = max(back.durations, default=None)
    if longest is None:
        words = f"Nobody has tried it in these {found.window.days} days."
    else:
        words = (
            f"It took at most {times.span(longest)} in {tried}, last on {times.day(back.last_tried or found.as_of)}."
        )
    if back.failed:
        words += f" {back.failed} of them did not succeed." if longest else f" {back.failed} did not succeed."
    safe = sum(target.answer is Safety.SAFE for target in back.targets)
    if back.targets:
        words += f" {text.count(len(back.targets), 'live bundle')}, {safe} with a safe target now."
    worst = min(back.targets, key=lambda target: target.answer is Safety.SAFE, default=None)
    rows = [_cells("rollback to", row.bundle.label, times.at(row.at), times.span(row.duration)) for row in back.rows]
    rows += [
        _cells("drill", f"{d.application}@{d.stage}", times.at(d.at), times.span(d.back) if d.back else d.outcome)
        for d in back.drills[:SHOWN]
    ]
    return Answer(
        question="Can we roll back within an hour?",
        state=back.state,
        words=words,
        limit=f"Yes: none took more than {times.span(ROLLBACK_LIMIT)} or failed, the last was tried within "
        f"{times.span(TRIED_WITHIN)}, and every live bundle has a safe target, looked at within "
        f"{times.whole(LOOKED_AT_WITHIN)}. No: one took longer or failed, or a target is unsafe.",
        measure="Way back, longest",
        number=times.span(longest) if longest is not None else "never tried",
        trend=back.trend,
        written=_hours,
        marks=_some([_target(target) for target in back.targets]),
        link=_to_application(worst.live.application, "The way back") if worst else None,
        columns=["What", "Where", "When", "How long"],
        rows=rows,
    )


def _target(target: Target) -> str:
    if target.target is None:
        return status.coloured(Tone.NEUTRAL, f"{target.live.label}: nobody has looked at where it could go back to.")
    looked = f", looked at {times.ago(target.looked_at)}" if target.looked_at else ""
    return status.coloured(
        theme.ANSWERS[target.answer][0], f"{target.live.label} back to {target.target.label}: {target.answer}{looked}."
    )


def _reproducible(found: Confidence) -> Answer:
    made = found.reproducible
    known = sum(len(one.known) for one in made.bundles)
    parts = known + sum(len(one.missing) for one in made.bundles)
    gaps = sum(len(one.gaps) for one in made.bundles)
    month = f"{made.month:%B %Y}"
    if not made.bundles:
        words = f"Nothing served at the end of {month}."
    else:
        names = text.listed([one.bundle.label for one in made.bundles[:3]])
        more = f" and {len(made.bundles) - 3} more" if len(made.bundles) > 3 else ""
        words = (
            f"{names}{more} served at the end of {month}: {known} of {parts} parts of the making are on record, with "
            f"{text.count(gaps, 'provenance gap') if gaps else 'no provenance gap'}. Making it again: not yet tried."
        )
    worst = min(made.bundles, key=lambda one: one.complete, default=None)
    return Answer(
        question="Can we reproduce the conditions of last month's model?",
        state=made.state,
        words=words,
        limit="Yes: it was made again, which nobody has tried yet. No: a part of the record is missing, or has a gap.",
        measure="On record",
        number=_percent(known / parts) if parts else "none yet",
        trend=made.trend,
        written=_percent,
        marks=_some([_recorded(one) for one in made.bundles if not one.complete]),
        link=_to(worst.bundle, "Record") if worst else None,
        columns=["Bundle", "On record", "Missing", "Gaps"],
        rows=[
            _cells(
                one.bundle.label, ", ".join(one.known) or "–", ", ".join(one.missing) or "–", " ".join(one.gaps) or "–"
            )
            for one in made.bundles[:SHOWN]
        ],
    )


def _recorded(one: Recorded) -> str:
    missing = [f"{text.listed(list(one.missing))} not on record."] if one.missing else []
    return status.coloured(Tone.NEGATIVE, " ".join([f"{one.bundle.label}:", *missing, *one.gaps]))


def _holding(found: Confidence) -> Answer:
    held = found.holding
    rate, rework = held.fail_rate, held.rework
    if rate.value is None:
        words = f"Nothing was deployed in these {found.window.days} days."
    else:
        words = (
            f"{held.failed} of {text.count(rate.n, 'deployment')} failed; {_percent(rework.value or 0)} were rework."
        )
    if held.still_failing:
        words += f" {held.still_failing} still {'fails' if held.still_failing == 1 else 'fail'}."
    if held.last_incident:
        words += f" The last incident began {times.ago(held.last_incident)}."
    else:
        words += " No incident source is connected: only rollbacks and hotfixes can show a failure."
    caught, failed = len(held.catch_rate.hits), held.catch_rate.n
    said = (
        f"Gates caught {caught} of {text.count(failed, 'defect')}."
        if failed
        else "Nobody has said of a block yet whether it was right."
    )
    return Answer(
        question="Do our releases hold?",
        state=held.state,
        words=f"{words} {said}",
        limit=f"Yes: at most {_percent(FAIL_LIMIT)} fail and {_percent(REWORK_LIMIT)} are rework (the "
        f"industry's means of 2025), of at least {LEAST_TO_JUDGE} deployments, with incidents reported.",
        measure="Change fail rate",
        number=_percent(rate.value) if rate.value is not None else "none yet",
        trend=held.trend,
        written=_percent,
        link=_to_application(found.application or found.applications[0], "Its incidents")
        if found.application or len(found.applications) == 1
        else None,
    )


# -- small parts -------------------------------------------------------------------------------------------------


def _hours(hours: float) -> str:
    return times.span(timedelta(hours=hours))


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")


def _cells(*words: str) -> list[str]:
    return [text.plain(word, 200) for word in words]


def _some(marks: Sequence[str]) -> list[str]:
    more = len(marks) - 4
    return [*marks[:4], *([f"and {more} more"] if more > 0 else [])]


def _to(bundle: Named, label: str) -> Callable[[], None] | None:
    ref = bundle.ref
    return (lambda: links.to_bundle(ref, f"{label}: {ref}")) if ref else None


def _to_application(name: str, label: str) -> Callable[[], None]:
    return lambda: links.to_application(name, label)


draw()
