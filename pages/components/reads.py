"""Reads for pages: a query on this screen's store, remembered for a moment.

What queries return is frozen, so it is shared between screens as it is. The person is an argument wherever an answer
depends on who asks, and so part of the key.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

import streamlit as st

from pages.components import desk
from services import clock as clocks
from services import identity
from services.rules.domain import Person

T = TypeVar("T")
# Long enough that the reruns of one click share it, short enough that nobody notices.
SECONDS = 2
SECONDS_FOR_PEOPLE = 30


def read(query: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """`query(store, *args, **kwargs)`; a query that takes `now` is given it."""
    result: T = _remembered(_key(query, args, kwargs), query, args, kwargs)
    return result


def people(store: Any) -> tuple[Person, ...]:
    """The sample's people, the one to start as first. They hardly ever change."""
    found: tuple[Person, ...] = _people(store.url, store)
    return found


def forget() -> None:
    """After an action: the next read sees what it did."""
    _remembered.clear()


def forget_everything() -> None:
    """As in a process that has just begun."""
    _remembered.clear()
    _people.clear()


def _key(query: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    store = desk.here().store
    return f"{store.url}|{query.__module__}.{query.__qualname__}|{args!r}|{sorted(kwargs.items())!r}"


@st.cache_resource(ttl=SECONDS, max_entries=500, show_spinner=False)
def _remembered(key: str, _query: Callable[..., Any], _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
    extra = {"now": clocks.wall()} if _wants_now(_query) else {}
    return _query(desk.here().store, *_args, **_kwargs, **extra)


@st.cache_resource(ttl=SECONDS_FOR_PEOPLE, max_entries=20, show_spinner=False)
def _people(key: str, _store: Any) -> tuple[Person, ...]:
    return tuple(identity.sample_people(_store))


@lru_cache(maxsize=200)
def _wants_now(query: Callable[..., Any]) -> bool:
    return "now" in inspect.signature(query).parameters


def now() -> datetime:
    """The moment this page is drawn."""
    return clocks.wall()
