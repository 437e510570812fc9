"""Which bundles there are, where they are, and what is next for each."""

from __future__ import annotations

import streamlit as st

from pages.components import desk, frame, links, reads, status, text, times
from pages.components.theme import Tone
from services.queries import catalogue
from services.queries.catalogue import BundleRow, Only, Page, Wanted
from services.queries.standing import Standing, Stands

TONES = {
    Stands.LIVE: Tone.POSITIVE,
    Stands.READY: Tone.POSITIVE,
    Stands.OPEN: Tone.NEUTRAL,
    Stands.UNDER_WAY: Tone.PROGRESS,
    Stands.WAITS: Tone.ATTENTION,
    Stands.NOT_READY: Tone.NEUTRAL,
}


def draw() -> None:
    frame.enter("bundles")
    wanted = Wanted(
        text=links.parameter("q"),
        application=links.parameter("application"),
        stage=links.parameter("live"),
        only=_only(links.parameter("only")),
    )
    before = links.parameter("before")
    found = reads.read(catalogue.page, wanted, before=int(before) if before.isdigit() else None)
    _first_sentence(found, wanted, bool(before))
    if not found.rows and wanted == Wanted() and not before:
        st.markdown("A bundle is made from what MLflow knows of a model: apply a policy, then sync.")
        st.code("headgate apply policy.toml\nheadgate sync", language="shell")
        return
    _filters(found)
    for row in found.rows:
        _row(row)
    with st.container(horizontal=True):
        if before:
            st.button("Newest", icon=":material/first_page:", on_click=_turn, args=(None,))
        if found.before is not None:
            st.button("Older bundles", icon=":material/chevron_right:", on_click=_turn, args=(found.before,))


def _first_sentence(found: Page, wanted: Wanted, older: bool) -> None:
    if not found.rows:
        status.sentence("There are no bundles yet." if wanted == Wanted() else "No bundle matches.")
        return
    newest = found.rows[0]
    if older:
        status.sentence(f"Older bundles, from {newest.ref} on back.")
        return
    if wanted != Wanted():
        more = " or more" if found.before is not None else ""
        one = len(found.rows) == 1 and not more
        status.sentence(f"{text.count(len(found.rows), 'bundle')}{more} {'matches' if one else 'match'}.")
        return
    status.sentence(f"The newest bundle, {newest.ref}, {_brief(newest)}.")


def _brief(row: BundleRow) -> str:
    if row.quarantine:
        return "is quarantined"
    if row.next is None:
        return f"is live in {text.listed(list(row.live_in))}" if row.live_in else "came through every stage"
    return row.next.brief


def _only(value: str) -> Only:
    return next((only for only in Only if only.value == value), Only.ANY)


def _filters(found: Page) -> None:
    """Their state is in the address. Changing one starts at the newest again."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Search",
            key="q",
            bind="query-params",
            placeholder="Name, number, version, digest or maker",
            type="search",
            on_change=_turn,
            args=(None,),
            width=320,
        )
        if len(found.applications) > 1:
            _choice("Application", "application", ["", *found.applications])
        _choice("Live in", "live", ["", *found.stages])
        st.radio(
            "Show",
            [only.value for only in Only],
            horizontal=True,
            key="only",
            bind="query-params",
            on_change=_turn,
            args=(None,),
        )


def _choice(label: str, key: str, options: list[str]) -> None:
    st.selectbox(
        label,
        options,
        key=key,
        bind="query-params",
        format_func=lambda value: value or "any",
        on_change=_turn,
        args=(None,),
        width=180,
    )


def _turn(before: int | None) -> None:
    if before is None:
        st.query_params.pop("before", None)
    else:
        st.query_params["before"] = str(before)


def _row(row: BundleRow) -> None:
    with st.container(border=True):
        name, changed, place = st.columns([4, 5, 5], gap="medium")
        with name, st.container(gap="xxsmall"):
            links.to_bundle(row.ref)
            who = f" by {desk.here().name_of(row.maker)}" if row.maker else ""
            st.caption(text.plain(f"{times.day(row.made_at)}, {times.ago(row.made_at)}{who}"))
        with changed:
            st.markdown(_changed(row))
        with place:
            st.markdown(_where(row))


def _changed(row: BundleRow) -> str:
    if row.first:
        said = "The first bundle."
    elif not row.changed:
        said = "Nothing differs from the one before."
    else:
        said = text.listed(list(row.changed))
        said = said[:1].upper() + said[1:]
    gaps = f"  \n{status.coloured(Tone.NEUTRAL, text.count(row.gaps, 'provenance gap'))}" if row.gaps else ""
    return text.plain(said, 200) + gaps


def _where(row: BundleRow) -> str:
    badges = [status.badge(Tone.POSITIVE, f"live in {stage}") for stage in row.live_in]
    if row.quarantine:
        badges.insert(0, status.badge(Tone.NEGATIVE, "quarantined"))
        return " ".join(badges) + "  \n" + text.plain(row.quarantine.reason, 160)
    if row.next is None:
        return " ".join(badges) or status.coloured(Tone.NEUTRAL, "Came through every stage; live nowhere now")
    return " ".join(badges) + ("  \n" if badges else "") + _next(row.next)


def _next(standing: Standing) -> str:
    said = standing.brief.removeprefix("is ")
    said = said[:1].upper() + said[1:]
    return status.coloured(TONES[standing.stands], said if len(said) <= 200 else said[:199] + "…")


draw()
