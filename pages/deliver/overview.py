"""What waits for me, what serves where, and how delivery goes."""

from __future__ import annotations

import streamlit as st

from pages.components import desk, figures, frame, links, live, pipeline, reads, status, text, theme, tiles, times
from pages.components.theme import Tone
from services import settings
from services.queries import measures, overview
from services.queries.common import PromotionLine
from services.queries.measures import Measured
from services.queries.overview import ApplicationRow, Cell, Overview

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
    status.section("Delivery in the last 90 days")
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
    st.markdown(text.plain(_went(found)))
    with st.grid(5, min_column_width=180, gap="small"):
        for name in tiles.FIVE:
            tiles.small(found, name)
    links.to_delivery("How each of these is computed, and where the time goes")


def _went(found: Measured) -> str:
    """`6 deployments to production. Half of 5 model versions were live within 2 days of the end of training.`"""
    forward, training = found.values["deployments"], found.values["lead_time_training"]
    if not forward.n:
        return "Nothing was deployed to production."
    said = f"{text.count(forward.n, 'deployment')} to production."
    if training.value is not None:
        versions = "1 model version was" if training.n == 1 else f"Half of {training.n:,} model versions were"
        said += f" {versions} live within {figures.value(training)} of the end of training."
    return said


def _turn(after: str) -> None:
    st.query_params["after"] = after


draw()
