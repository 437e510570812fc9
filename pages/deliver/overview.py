"""What waits for me, what serves where, and how delivery goes."""

from __future__ import annotations

import streamlit as st

from pages.components import desk, frame, links, live, pipeline, reads, status, tables, text, theme, tiles, times
from pages.components.theme import Tone
from services import settings
from services.queries import measures, overview
from services.queries.common import PromotionLine
from services.queries.measures import Measured
from services.queries.overview import ApplicationRow, Cell, Delivery, Overview

# Up to so many applications each gets its cards; more get a line each, so that they are seen at one look.
FEW = 3
A_MOMENT = 0.3  # seconds until the delivery metrics are read, once the words stand there


def draw() -> None:
    frame.enter("overview")
    found = reads.read(overview.overview, desk.here().person, after=links.parameter("after"), zone=settings.load().zone)
    if not found.total:
        _empty()
        return
    _first_sentence(found)
    show = _application if found.total <= FEW else _line
    for row in found.applications:
        show(row)
    if found.after:
        st.button("More applications", on_click=_turn, args=(found.after,))
    _delivery(found.delivery)
    if found.measured is None:
        _five_in_a_moment()
    else:
        _five(found.measured)
    live.watch_any([cell.promotion for row in found.applications for cell in row.cells if cell.promotion])


def _empty() -> None:
    status.sentence("Nothing is delivered here yet.")
    st.markdown(
        "Write a policy that names your application's model in MLflow, then bring in what is there. "
        "Or look at the sample first."
    )
    st.code("headgate apply policy.toml\nheadgate sync\n\nheadgate demo", language="shell")


def _first_sentence(found: Overview) -> None:
    mine = len(found.mine)
    if mine:
        status.sentence(f"{text.count(mine, 'promotion')} {'waits' if mine == 1 else 'wait'} for you.")
    else:
        status.sentence("Nothing waits for you.")
    for line in found.mine[:3]:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            first = line is found.mine[0]
            if st.button(
                f"Review {text.plain(line.ref)}",
                key=f"review {line.id}",
                type="primary" if first else "secondary",
                icon=theme.icon("approval"),
            ):
                st.switch_page(links.APPROVALS, query_params={"promotion": str(line.id)})
            st.markdown(_asked(line), width="content")
    others = [_other(line) for line in (*found.others, *found.blocked)]
    if others:
        st.markdown("  \n".join(others[:4]))


def _asked(line: PromotionLine) -> str:
    who = desk.here().name_of(line.requested_by)
    return text.plain(f"to {line.stage}, asked for by {who} {times.ago(line.requested_at)}")


def _other(line: PromotionLine) -> str:
    tone, word = theme.PHASES[line.phase]
    where = f"{line.ref} to {line.stage}"
    why = " " + text.plain(line.note, 160) if line.note else ""
    return status.coloured(tone, f"{where}: {word}.") + why


def _application(row: ApplicationRow) -> None:
    with st.container(gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            links.to_application(row.name)
            if row.description:
                st.caption(text.plain(row.description, 120), width="content")
        if row.cells:
            pipeline.show(row.cells, {cell.stage: _marks(cell) for cell in row.cells})
        else:
            st.caption("It has no policy yet: `headgate apply policy.toml` gives it one.")


def _line(row: ApplicationRow) -> None:
    if row.cells:
        pipeline.line(row.name, row.cells, {cell.stage: _marks(cell) for cell in row.cells})
    else:
        links.to_application(row.name, f"{row.name}, without a policy")


def _marks(cell: Cell) -> list[str]:
    found = []
    if cell.held:
        found.append(status.badge(Tone.ATTENTION, "on hold"))
    if cell.frozen:
        found.append(status.badge(Tone.ATTENTION, "frozen"))
    return found


def _delivery(found: Delivery) -> None:
    status.section("Delivery in the last 90 days")
    with st.grid(2, min_column_width=260, gap="small"):
        st.metric(
            "Deployments to production" if _only_production(found) else "Deployments",
            f"{found.count:,}",
            border=True,
            help="Successful deployments to the stage that counts, without rollbacks and redeploys.",
        )
        lead = found.median_lead
        st.metric(
            f"From training to live, median of {len(found.leads)}",
            times.span(lead) if lead is not None else "none yet",
            border=True,
            help="From the end of training to live, once for each model version, at its first arrival.",
        )
    if found.left_out:
        st.caption(f"{text.count(found.left_out, 'model version')} left out: its training ends after it went live.")
    if found.rows:
        with st.expander(_behind(len(found.rows))):
            _rows(found)
    st.caption(text.plain(f"From {times.at(found.since)} to {times.at(found.as_of)}."))


@st.fragment(run_every=A_MOMENT)
@frame.guards
def _five_in_a_moment() -> None:
    """The words first: what the five are made of is read in the fragment's own run, and the page is drawn again."""
    st.caption("Reading the record of deliveries …")
    if frame.in_fragment():
        reads.read(measures.measured, zone=settings.load().zone)
        reads.forget()
        st.rerun()


def _five(found: Measured) -> None:
    """DORA's five, over all applications; the Delivery page explains them."""
    with st.grid(5, min_column_width=170, gap="small"):
        for name in tiles.FIVE:
            tiles.small(found, name)
    links.to_delivery("How each of these is computed, and where the time goes")


def _behind(rows: int) -> str:
    return "The deployment behind these numbers" if rows == 1 else f"The {rows:,} deployments behind these numbers"


def _only_production(found: Delivery) -> bool:
    return {row.stage for row in found.rows} <= {"production"}


def _rows(found: Delivery) -> None:
    rows = [
        [
            text.plain(row.ref),
            text.plain(row.stage),
            text.plain(row.kind.value),
            text.plain(times.at(row.finished_at)),
            text.plain(times.span(row.lead)) if row.lead is not None else "–",
        ]
        for row in found.rows
    ]
    tables.table(["Bundle", "Stage", "Kind", "Live", "Training to live"], rows, alt="Deployments behind the numbers")
    if len(found.rows) < found.count:
        st.caption(f"The newest {len(found.rows)} of {found.count:,}.")


def _turn(after: str) -> None:
    st.query_params["after"] = after


draw()
