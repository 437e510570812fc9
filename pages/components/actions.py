"""What people do from a page: one command, one message, one rerun."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from pages.components import desk, reads, text, theme
from pages.components.theme import Tone
from services.clock import WallClock
from services.errors import HeadgateError

REFUSAL = "refusal"
DONE = "done"


def act(command: Callable[..., Any], *args: Any, done: str, **kwargs: Any) -> None:
    """Carry out one command as this person, now; then draw the page again with what came of it.

    `done` is said when it worked. A refusal stays on the page until the next action. The command is handed whatever
    makes a second click the same as the first: a key, a version, a generation.
    """
    here = desk.here()
    st.session_state.pop(REFUSAL, None)
    try:
        command(here.store, *args, actor=here.person, clock=WallClock(), **kwargs)
        st.session_state[DONE] = done
    except HeadgateError as error:
        st.session_state[REFUSAL] = (_where(), error.message, error.remedy)
    reads.forget()
    st.rerun()


def say() -> None:
    """The messages of the last action, at the top of the page it was done on."""
    if done := st.session_state.pop(DONE, None):
        st.toast(text.plain(done), icon=theme.tone_icon(Tone.POSITIVE))
    refusal = st.session_state.get(REFUSAL)
    if refusal is None:
        return
    where, message, remedy = refusal
    if where != _where():
        del st.session_state[REFUSAL]
        return
    st.error(explained(message, remedy), icon=theme.tone_icon(Tone.NEGATIVE))


def explained(message: str, remedy: str) -> str:
    """Markdown: what happened, then what to do next."""
    lines = "  \n".join(text.plain(line) for line in message.splitlines() if line.strip())
    return f"**{lines}**" + (f"\n\n{text.plain(remedy)}" if remedy.strip() else "")


def _where() -> str:
    """The page that is open, with its reference: a message belongs to it and to no other."""
    names = ("ref", "name", "promotion")
    return "|".join([st.session_state.get("page", ""), *(st.query_params.get(name, "") for name in names)])
