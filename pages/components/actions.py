"""What people do from a page: one button, one command, one message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import streamlit as st

from pages.components import desk, reads, text, theme
from pages.components.theme import Tone
from services.clock import WallClock
from services.errors import HeadgateError

REFUSAL = "refusal"
DONE = "done"
CARRIED_OUT = "carried out"
Look = Literal["primary", "secondary", "tertiary"]


@dataclass(frozen=True)
class Offer:
    """One command as this page offers it now, with what the person sees: a version, a generation, a key.

    `words` names the fields that the person fills in, by the command's argument; `moments` those with a date and a
    time, which are taken as UTC. `address` is where the page goes on.
    """

    command: Callable[..., Any]
    args: tuple[Any, ...]
    done: str
    more: dict[str, Any] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    moments: dict[str, str] = field(default_factory=dict)
    address: dict[str, str] = field(default_factory=dict)


def button(label: str, offer: Offer, *, key: str, icon: str, look: Look = "secondary", disabled: bool = False) -> None:
    """A button for one offer. `key` names the offer, and changes with what the page shows.

    What is carried out is what was on the screen when it was pressed, whatever has changed since: the service then says
    what is in the way.
    """
    st.button(
        text.plain(label, 60),
        key=key,
        type=look,
        icon=theme.icon(icon),
        disabled=disabled,
        on_click=_carry_out,
        args=(key, offer),
    )


def number_of(offers: str) -> int:
    """How many offers whose key begins so this session has carried out: in a key, it makes the next one a new offer."""
    return sum(key.startswith(offers) for key in st.session_state.get(CARRIED_OUT, ()))


def _carry_out(key: str, offer: Offer) -> None:
    """A second press of the same offer does nothing more; the store would see to that as well."""
    carried_out: set[str] = st.session_state.setdefault(CARRIED_OUT, set())
    st.session_state.pop(REFUSAL, None)
    if key in carried_out:
        return
    here = desk.here()
    words = {name: st.session_state.get(field_key) or "" for name, field_key in offer.words.items()}
    moments = {name: _utc(st.session_state.get(field_key)) for name, field_key in offer.moments.items()}
    st.query_params.update(offer.address)
    try:
        offer.command(here.store, *offer.args, actor=here.person, clock=WallClock(), **offer.more, **words, **moments)
    except HeadgateError as error:
        st.session_state[REFUSAL] = (_where(), error.message, error.remedy)
    else:
        carried_out.add(key)
        st.session_state[DONE] = offer.done
    reads.forget()


def _utc(picked: datetime | None) -> datetime | None:
    return picked.replace(tzinfo=UTC) if picked else None


def say() -> None:
    """The messages of the last action, at the top of the page it was done on."""
    if done := st.session_state.pop(DONE, None):
        st.toast(text.plain(done), icon=theme.tone_icon(Tone.POSITIVE))
    _refusal()


def say_in_dialog() -> None:
    """The same at the top of a dialog: it closes once its command is carried out, and stays open on a refusal."""
    if DONE in st.session_state:
        st.rerun()
    _refusal()


def _refusal() -> None:
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
