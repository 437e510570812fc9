"""Can delivery be trusted? Five questions, each with a measured answer, and what it takes for a yes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from pages.components import frame, links, reads, scope, sparks, status, tables, text, times
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
    State,
    Target,
)
from services.rules.metrics import LedgerPart
from services.rules.metrics.values import LEAST_TO_JUDGE
from services.rules.preflight import Answer as Safety
from services.rules.spoken import of_hours, share

STATES = {
    State.YES: (Tone.POSITIVE, "yes"),
    State.NO: (Tone.NEGATIVE, "no"),
    State.UNKNOWN: (Tone.NEUTRAL, "not yet known"),
}
SHOWN = 12
NAMED = 3
CHOICE = "application"


@dataclass(frozen=True)
class Answer:
    """One question as the page shows it. `words` are plain text; `link` draws the evidence's link."""

    question: str
    state: State
    words: str
    limit: str
    measure: str
    number: str
    trend: Sequence[Month]
    written: Callable[[float], str]
    link: Callable[[], None]
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


def draw() -> None:
    frame.enter("confidence")
    asked = st.session_state[CHOICE] if CHOICE in st.session_state else links.parameter(CHOICE)
    found = reads.read(confidence.confidence, asked, settings.load().zone)
    if not found.applications:
        status.sentence("Nothing is delivered here yet, so there is nothing to be confident of.")
        st.markdown("Apply a policy and bring a bundle to production: the answers are measured from then on.")
        st.code("headgate apply policy.toml", language="shell")
        return
    answers = (_lead_time(found), _tests(found), _way_back(found), _reproducible(found), _holding(found))
    status.sentence(_summary(answers))
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small"):
        st.caption(text.plain(_window(found)), width="content")
        with st.container(horizontal=True, vertical_alignment="center", gap="small", width="content"):
            _behind(answers)
            if len(found.applications) > 1:
                _choice(found.applications)
    with st.container(gap="xsmall"):
        for answer in answers:
            _show(answer)


def _choice(applications: Sequence[str]) -> None:
    st.selectbox(
        "Application",
        ["", *applications],
        format_func=lambda name: name or "All applications",
        key=CHOICE,
        bind="query-params",
        width=150,
        label_visibility="collapsed",
    )


def _summary(answers: Sequence[Answer]) -> str:
    """`3 yes, 1 no, 1 not yet known.`"""
    number = {state: sum(answer.state is state for answer in answers) for state in State}
    return f"{', '.join(f'{number[state]} {word}' for state, (_, word) in STATES.items() if number[state])}."


def _window(found: Confidence) -> str:
    """The application too, where no choice says it."""
    whose = f"{found.applications[0]}, " if len(found.applications) == 1 else ""
    return f"{whose}{found.window.days} days up to {times.at(found.as_of)}."


def _show(answer: Answer) -> None:
    """Low enough for five on one screen, and on one printed page beside Streamlit's sidebar."""
    left, right = st.columns([5, 2], gap="small", vertical_alignment="center")
    with left, st.container(gap="xxsmall"):
        status.section(answer.question)
        limit = f":small[:gray[{text.plain(answer.limit)}]]"
        st.markdown(f"{status.badge(*STATES[answer.state])} {text.plain(answer.words)} {limit}")
    with right, st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.metric(answer.measure, answer.number, width="content", label_visibility="collapsed")
        _trend(answer)
        answer.link()


def _trend(answer: Answer) -> None:
    first, last = answer.trend[0].first, answer.trend[-1].first
    sparks.show([month.value for month in answer.trend], f"{first:%b}", f"{last:%b}", alt=_months(answer))


def _months(answer: Answer) -> str:
    said = [f"{month.first:%b} {'–' if month.value is None else answer.written(month.value)}" for month in answer.trend]
    return f"{answer.measure} by month: {', '.join(said)}"


def _behind(answers: Sequence[Answer]) -> None:
    """What is too much for one page: the months in numbers, and the rows."""
    with st.popover("Rows", width="content"):
        for answer in answers:
            st.markdown(f"**{text.plain(answer.question)}**  \n{text.plain(f'{_months(answer)}.')}")
            if answer.rows:
                tables.table(answer.columns, answer.rows, alt=f"Evidence: {answer.question}")


# -- the five ----------------------------------------------------------------------------------------------------


def _lead_time(found: Confidence) -> Answer:
    lead = found.lead_time
    if lead.median.value is None:
        words = f"No model version of ours reached production in these {found.window.days} days."
    else:
        versions = "1 model version" if lead.median.n == 1 else f"Half of {lead.median.n:,} model versions"
        words = f"{versions} went live within {of_hours(lead.median.value)} of the end of training."
        if lead.largest and lead.share:
            words += f" Largest part: {_part(lead.largest)}, {share(lead.share)}."
    slowest = max((row for row in lead.rows if row.bundle.ref), key=lambda row: row.duration, default=None)
    return Answer(
        question="How long does it take to push a retrained model to production?",
        state=lead.state,
        words=words,
        limit=f"Yes: at most {times.span(LEAD_LIMIT)}, for {LEAST_TO_JUDGE} versions or more.",
        measure="Training to live",
        number=of_hours(lead.median.value) if lead.median.value is not None else "none yet",
        trend=lead.trend,
        written=of_hours,
        link=_to_bundle(slowest.bundle if slowest else None, "The slowest", found),
        columns=["Bundle", "Live since", "From training to live"],
        rows=[_cells(row.bundle.label, times.at(row.at), times.span(row.duration)) for row in lead.rows],
    )


def _part(part: LedgerPart) -> str:
    return f"{part.name.value} for {part.stage}" if part.stage else part.name.value


def _tests(found: Confidence) -> Answer:
    tests, caught = found.tests, found.tests.last_caught
    if not tests.arrived:
        words = f"No bundle whose gates ran here arrived in production in these {found.window.days} days."
    else:
        words = (
            f"The data of {tests.tested} of {text.count(tests.arrived, 'bundle')} passed a schema and a drift gate "
            f"({tests.passed['schema']} schema, {tests.passed['drift']} drift)."
        )
    covered, columns = sum(one.covered for one in tests.columns), sum(one.found for one in tests.columns)
    if columns:
        words += f" {covered} of {columns} columns are covered."
    if tests.imported:
        words += f" {text.count(tests.imported, 'imported bundle')} left out."
    if caught:
        words += f" Last caught: {caught.bundle.label} by {caught.gate}, {times.day(caught.at)}."
    else:
        words += " No failure was caught yet."
    rows = [
        _cells(f"{one.bundle.label} is live", f"{one.covered} of {one.found} columns covered")
        for one in tests.columns[:SHOWN]
    ]
    if caught:
        rows.append(_cells(f"{caught.bundle.label} was caught", caught.summary))
    return Answer(
        question="Are there automated tests for the data pipelines?",
        state=tests.state,
        words=words,
        limit=f"Yes: at least {share(TESTED_LIMIT)}, of {LEAST_TO_JUDGE} bundles or more.",
        measure="Passed both",
        number=share(tests.tested / tests.arrived) if tests.arrived else "none yet",
        trend=tests.trend,
        written=share,
        link=_to_bundle(
            caught.bundle if caught else next((one.bundle for one in tests.columns), None),
            "The last caught" if caught else "What is live",
            found,
        ),
        columns=["Bundle", "What its data's gates found"],
        rows=rows,
    )


def _way_back(found: Confidence) -> Answer:
    back = found.way_back
    tried = f"{text.count(back.rollbacks.n, 'rollback')} and {text.count(len(back.drills), 'drill')}"
    longest = max(back.durations, default=None)
    if longest is None:
        words = f"Nobody has tried it in these {found.window.days} days."
    else:
        words = f"At most {times.span(longest)} in {tried}, last on {times.day(back.last_tried or found.as_of)}."
    if back.failed:
        words += f" {back.failed} of them did not succeed." if longest else f" {back.failed} did not succeed."
    words += _safe_now(back.targets)
    worst = min(back.targets, key=lambda target: target.answer is Safety.SAFE, default=None)
    rows = [_cells(*_target(target)) for target in back.targets]
    rows += [_cells("rollback to", row.bundle.label, times.at(row.at), times.span(row.duration)) for row in back.rows]
    rows += [
        _cells("drill", f"{d.application}@{d.stage}", times.at(d.at), times.span(d.back) if d.back else d.outcome)
        for d in back.drills[:SHOWN]
    ]
    return Answer(
        question="Can we roll back within an hour?",
        state=back.state,
        words=words,
        limit=f"Yes: all within {times.span(ROLLBACK_LIMIT)}, one in {times.span(TRIED_WITHIN)}, targets seen safe in "
        f"{times.whole(LOOKED_AT_WITHIN)}.",
        measure="The longest",
        number=times.span(longest) if longest is not None else "never tried",
        trend=back.trend,
        written=of_hours,
        link=_to_application(worst.live.application if worst else _first(found), "The way back"),
        columns=["What", "Where", "When", "How it went"],
        rows=rows,
    )


def _safe_now(targets: Sequence[Target]) -> str:
    """How many of the live bundles could go back now, and one that could not."""
    not_safe = [target for target in targets if target.answer is not Safety.SAFE]
    safe = len(targets) - len(not_safe)
    if not targets:
        return ""
    said = f" {safe} of {text.count(len(targets), 'live bundle')} {'has' if safe == 1 else 'have'} a safe target now"
    return f"{said}; {not_safe[0].live.label}: {not_safe[0].answer}." if safe and not_safe else f"{said}."


def _target(target: Target) -> tuple[str, str, str, str]:
    if target.target is None:
        return "way back of", target.live.label, "nobody has looked", target.answer
    return "way back of", f"{target.live.label} to {target.target.label}", times.at(target.looked_at), target.answer


def _reproducible(found: Confidence) -> Answer:
    made = found.reproducible
    known = sum(len(one.known) for one in made.bundles)
    parts = known + sum(len(one.missing) for one in made.bundles)
    gaps = sum(len(one.gaps) for one in made.bundles)
    month = f"{made.month:%B}"
    if not made.bundles:
        words = f"Nothing served at the end of {month}."
    else:
        names = text.listed([one.bundle.label for one in made.bundles[:NAMED]])
        more = f" and {len(made.bundles) - NAMED} more" if len(made.bundles) > NAMED else ""
        words = (
            f"{names}{more}, live at the end of {month}: {known} of {parts} parts on record, "
            f"{text.count(gaps, 'provenance gap') if gaps else 'no provenance gap'}."
        )
        lacking = list(dict.fromkeys(part for one in made.bundles for part in one.missing))
        words += f" Missing: {text.listed(lacking)}." if lacking else ""
        words += " Made again: not yet tried."
    worst = min(made.bundles, key=lambda one: one.complete, default=None)
    return Answer(
        question="Can we reproduce the conditions of last month's model?",
        state=made.state,
        words=words,
        limit="Yes: once made again. No: a part is missing.",
        measure="On record",
        number=share(known / parts) if parts else "none yet",
        trend=made.trend,
        written=share,
        link=_to_bundle(worst.bundle if worst else None, "The record", found),
        columns=["Bundle", "On record", "Missing", "Gaps"],
        rows=[
            _cells(
                one.bundle.label, ", ".join(one.known) or "–", ", ".join(one.missing) or "–", " ".join(one.gaps) or "–"
            )
            for one in made.bundles[:SHOWN]
        ],
    )


def _holding(found: Confidence) -> Answer:
    held = found.holding
    rate, rework = held.fail_rate, held.rework
    if rate.value is None:
        words = f"Nothing was deployed in these {found.window.days} days."
    else:
        words = f"{held.failed} of {text.count(rate.n, 'deployment')} failed; {share(rework.value or 0)} were rework."
    if held.still_failing:
        words += f" {held.still_failing} still {'fails' if held.still_failing == 1 else 'fail'}."
    if held.last_incident:
        days = (found.as_of - held.last_incident).days
        words += f" The last incident began {text.count(days, 'day')} ago." if days else " An incident began today."
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
        limit=f"Yes: at most {share(FAIL_LIMIT)} fail, {share(REWORK_LIMIT)} are rework, of {LEAST_TO_JUDGE} or "
        "more, with incidents reported.",
        measure="Change fail rate",
        number=share(rate.value) if rate.value is not None else "none yet",
        trend=held.trend,
        written=share,
        link=lambda: links.to_delivery("The deliveries", _of_window(found)),
    )


# -- small parts -------------------------------------------------------------------------------------------------


def _of_window(found: Confidence) -> dict[str, str]:
    """The Delivery page's own words for what this page looks at."""
    window = {"window": scope.FREE, "from": found.window.first.isoformat(), "to": found.window.until.isoformat()}
    return {"app": found.application, **window} if found.application else window


def _cells(*words: str) -> list[str]:
    return [text.plain(word, 200) for word in words]


def _first(found: Confidence) -> str:
    return found.application or found.applications[0]


def _to_bundle(bundle: Named | None, label: str, found: Confidence) -> Callable[[], None]:
    """Where there is none, or it was imported and has no page, to what the application has delivered."""
    ref = bundle.ref if bundle else None
    if ref is None:
        return lambda: links.to_delivery("The deliveries", _of_window(found))
    return lambda: links.to_bundle(ref, label)


def _to_application(name: str, label: str) -> Callable[[], None]:
    return lambda: links.to_application(name, label)


draw()
