"""How long a page takes to show its first words, beside an empty page of Streamlit: 1.3 times is the aim.

A page that is not the first is held against one that is not the first either: Streamlit asks for more before it.

python tests/benchmarks/pages.py [HOME]: the home of a built sample; without one, the sample is built first.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from dashboards import free_port, headgate, served
from playwright.sync_api import sync_playwright

ROUNDS = 9
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
# What a person reads first, as it begins on each page of the sample.
FIRST_WORDS = {
    "/": "waits for",
    "/bundle?ref=flight-delay/18": "conditions met",
    "/approvals": "waits for",
    "/application?name=flight-delay": "is live in production",
    "/delivery": "Deployment frequency",
    "/confidence": "How long does it take",
}


EMPTY = """
import streamlit as st

def first(): st.write("Nothing else")
def deep(): st.write("Nothing else")

st.navigation([st.Page(first, default=True), st.Page(deep, url_path="deep")]).run()
"""


@contextmanager
def empty_pages(folder: Path) -> Iterator[str]:
    """The least that Streamlit can serve."""
    (folder / "empty.py").write_text(EMPTY, encoding="utf-8")
    port = free_port()
    options = ("--server.address", "127.0.0.1", "--server.port", str(port), "--server.headless", "true")
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "empty.py", *options, "--browser.gatherUsageStats", "false"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(5)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def first_words(browser: Any, address: str, words: str) -> float:
    """Seconds from asking for the page to reading the words, as somebody who was here before: scripts are cached."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(address)
    page.get_by_text(words).first.wait_for(timeout=60_000)
    begin = time.perf_counter()
    page.reload()
    page.get_by_text(words).first.wait_for(timeout=60_000)
    taken = time.perf_counter() - begin
    context.close()
    return taken


def measure(browser: Any, server: str, path: str, words: str, beside: float | None = None) -> float:
    taken = statistics.median(first_words(browser, server + path, words) for _ in range(ROUNDS))
    ratio = f", {taken / beside:.2f} times the empty page" if beside else ""
    print(f"{path:<34} {taken * 1000:6.0f} ms{ratio}")
    return taken


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        home = Path(sys.argv[1]) if len(sys.argv) > 1 else folder / "home"
        if not home.exists():
            headgate("demo", "--build-only", home=home)
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        with sync_playwright() as playwright, empty_pages(folder) as empty, served(home, folder / "log") as dashboard:
            browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
            bare = measure(browser, empty, "/", "Nothing else")
            bare_deep = measure(browser, empty, "/deep", "Nothing else")
            for path, words in FIRST_WORDS.items():
                measure(browser, dashboard.address, path, words, bare if path == "/" else bare_deep)
            browser.close()
