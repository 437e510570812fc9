"""A real browser before a real dashboard, on a sample that was really built."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dashboards import Dashboard, demo_copy, served
from requirement import skip_without

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, through Playwright; nothing is downloaded."""
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if found is None:
        skip_without("browser", "no Chromium is installed (apt install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def demo_home(browser: Any, demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sample for each file, since its tests change it."""
    return demo_copy(demo, tmp_path_factory.mktemp("demo") / "home")


@pytest.fixture(scope="module")
def dashboard(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """Freshly started: nobody has opened any page yet. Python reports each import of its process."""
    with served(demo_home, tmp_path_factory.mktemp("dashboard") / "log") as dashboard:
        yield dashboard


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(30_000)
    yield context.new_page()
    context.close()
