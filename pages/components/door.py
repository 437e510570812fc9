"""The door. Where a login is set up, nothing is drawn before it; where none is, nobody comes from another machine."""

from __future__ import annotations

from ipaddress import ip_address
from typing import NoReturn

import streamlit as st

from pages.components import status, text, theme
from services import identity, settings
from services.errors import HeadgateError
from services.rules.domain import Person, Role

WELCOMED = "welcomed"


def visitor() -> Person | None:
    """Who logged in, asked again on every run; None for the person at this machine. Nobody else gets past."""
    logged_in = st.user.get("is_logged_in")
    if logged_in is None:  # the secrets have no [auth]
        # The option does not bind a server that somebody else starts, such as uvicorn: the visitor's own address does.
        if not only_this_machine(st.get_option("server.address")) or is_another_machine(st.context.ip_address):
            _closed()
        return None
    if not logged_in:
        _ask("Log in to see what is delivered.")
    try:
        person = identity.from_claims(st.user.to_dict(), settings.load())
    except HeadgateError as error:
        _ask(error.message, error.remedy)
    with st.sidebar:
        st.caption(
            text.plain(f"{person.shown}, {text.listed([role.value for role in Role if role in person.roles])}", 120)
        )
        st.button("Sign out", icon=theme.icon("sign out"), on_click=st.logout)
    return person


def is_new(person: Person) -> bool:
    """Once for each login in this session."""
    if st.session_state.get(WELCOMED) == person:
        return False
    st.session_state[WELCOMED] = person
    return True


def only_this_machine(address: str | None) -> bool:
    """Whether nobody from elsewhere reaches it. Streamlit listens on every address of the machine where none is set."""
    return address == "localhost" or _is_loopback(address or "0.0.0.0") is True


def is_another_machine(address: str | None) -> bool:
    """Whether a visitor comes from there. Somebody without an address came through a socket of this machine."""
    return _is_loopback(address or "127.0.0.1") is False


def _is_loopback(address: str) -> bool | None:
    """None for what is no address."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return None


def _ask(words: str, remedy: str = "") -> NoReturn:
    status.sentence(words)
    if remedy:
        st.markdown(text.plain(remedy))
    with st.container(horizontal=True):
        st.button("Log in", type="primary", icon=theme.icon("sign in"), on_click=st.login)
        if st.user.get("is_logged_in"):
            st.button("Sign out", icon=theme.icon("sign out"), on_click=st.logout)
    st.stop()


def _closed() -> NoReturn:
    status.sentence("This dashboard is closed to other machines.")
    st.markdown(
        "It listens on another address than this machine's own, and no login is set up: whoever came by could approve "
        "and roll back. Set up a login in `.streamlit/secrets.toml`, as the README says, or listen on 127.0.0.1."
    )
    st.stop()
