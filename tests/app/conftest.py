"""The whole dashboard in process, over a store of its own: no server, no MLflow, no worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from delivering import Delivery
from streamlit.testing.v1 import AppTest

from services.settings import Settings
from services.store.database import Store

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def team(store: Store) -> Delivery:
    return Delivery(store)


@pytest.fixture
def open_page(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., AppTest]]:
    """Opens a page of the real app, as somebody, with the parameters of its address."""
    monkeypatch.setenv("HEADGATE_HOME", str(settings.home))
    monkeypatch.setenv("HEADGATE_WORKER", "off")
    monkeypatch.chdir(PROJECT)
    st.cache_resource.clear()

    def open_page(page: str = "", as_: str | None = None, **parameters: str) -> AppTest:
        at = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=30)
        if as_:
            at.session_state["person"] = as_
        for name, value in parameters.items():
            at.query_params[name] = value
        if page:
            at.run()
            at.switch_page(f"pages/{page if '/' in page else f'deliver/{page}'}.py")
            for name, value in parameters.items():
                at.query_params[name] = value
        at.run()
        assert not at.exception
        assert not [title for title in at.title if title.value == "This page could not be drawn\\."]
        return at

    yield open_page
    st.cache_resource.clear()
