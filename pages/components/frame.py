"""Around every page: what happens when something goes wrong, and the messages of the last action."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.components import actions, status, text
from services.errors import HeadgateError

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger("headgate")


@contextmanager
def guarded() -> Iterator[None]:
    """A refusal or an outage becomes a sentence with what to do next; anything else is logged, and owned up to."""
    try:
        yield
    except HeadgateError as error:
        status.sentence(error.message.splitlines()[0])
        rest = "\n".join(error.message.splitlines()[1:])
        if rest.strip():
            st.markdown(text.lines(rest))
        if error.remedy.strip():
            st.markdown(text.plain(error.remedy))
    except Exception as error:
        told(error)


def told(error: Exception) -> bool:
    """What nobody foresaw: the log has the traceback, the visitor a sentence."""
    log.error("a page could not be drawn", exc_info=error)
    status.sentence("This page could not be drawn.")
    st.markdown("The cause is in the server's log. The other pages and the command line go on working.")
    return True


def guards(draw: Callable[P, None]) -> Callable[P, None]:
    """The same for a fragment, which runs again outside the page that drew it."""

    @wraps(draw)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        with guarded():
            draw(*args, **kwargs)

    return wrapped


def announce(pages: Callable[[], list[Any]]) -> None:
    """Name the pages before the first visitor comes: a deep link is then never taken for one that does not exist."""
    bare = logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context")
    level = bare.level
    bare.setLevel(logging.ERROR)  # it warns that nobody is looking yet, which is the point
    st.navigation(pages())
    bare.setLevel(level)


def settle() -> None:
    """Once everything is imported: what is here to stay need not be looked through after every click."""
    gc.collect()
    gc.freeze()


def in_fragment() -> bool:
    """Whether this run draws a fragment alone, and not the page around it."""
    context = get_script_run_ctx()
    return bool(context and context.fragment_ids_this_run)


def enter(page: str) -> None:
    """Note which page is open, and say what the last action led to."""
    st.session_state["page"] = page
    actions.say()
