"""The front door: who is here, where they can go, and the frame around every page.

Streamlit reads this file twice: once to make the server, where no runtime is there yet, and then for every visitor.
"""

from __future__ import annotations

import streamlit as st

from pages.components import desk, door, frame, links, reads, theme
from services import start


def pages() -> list[st.Page]:
    return [
        st.Page(links.OVERVIEW, title="Overview", icon=theme.icon("overview"), default=True),
        st.Page(links.APPROVALS, title="Approvals", icon=theme.icon("approval"), url_path="approvals"),
        st.Page(links.BUNDLES, title="Bundles", icon=theme.icon("bundle"), url_path="bundles"),
        st.Page(links.APPLICATION, title="Application", icon=theme.icon("application"), url_path="application"),
        st.Page(links.CONFIDENCE, title="Confidence", icon=theme.icon("confidence"), url_path="confidence"),
        st.Page(links.DELIVERY, title="Delivery", icon=theme.icon("delivery"), url_path="delivery"),
        st.Page(links.BUNDLE, title="Bundle", icon=theme.icon("bundle"), url_path="bundle", visibility="hidden"),
    ]


@st.cache_resource(show_spinner="Opening the lineage store")
def begun() -> start.Started:
    """Once in this process: the store is migrated, a worker lives, and everything that pages need is imported."""
    started = start.begin()
    frame.settle()
    return started


def draw() -> None:
    st.set_page_config(page_icon="static/headgate-mark.svg", layout="wide", initial_sidebar_state="auto")
    st.logo("static/headgate.svg", icon_image="static/headgate-mark.svg", size="large")
    visitor = door.visitor()
    page = st.navigation(pages())
    with frame.guarded():
        store = begun().store
        if visitor and door.is_new(visitor):
            start.welcome(store, visitor)
        desk.sit(store, reads.people(store), visitor)
        desk.switch()
        page.run()


if st.runtime.exists():
    draw()
else:
    app = st.App(__file__, on_script_error=frame.told)
    frame.announce(pages)
