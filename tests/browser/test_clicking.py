"""The main job, done by clicking in a real browser, on the real sample. The tests tell one story, in this order."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dashboards import Dashboard, headgate
from playwright.sync_api import Page, expect

APPLICATION = "flight-delay"


def state(home: Path, stage: str = "production") -> Any:
    (application,) = [
        a for a in json.loads(headgate("status", "--json", home=home))["applications"] if a["name"] == APPLICATION
    ]
    return next(s for s in application["stages"] if s["stage"] == stage)


def test_a_deep_link_before_any_other_visit_shows_the_frame(dashboard: Dashboard, page: Page) -> None:
    # given a server that nobody has visited, when the first visitor follows a deep link
    page.goto(f"{dashboard.address}/approvals")

    # then they see the page inside the frame: who they are, and where they can go, without a list of file names
    expect(page.get_by_role("heading", name="1 promotion waits for you.")).to_be_visible()
    sidebar = page.get_by_test_id("stSidebar")
    expect(sidebar.get_by_text("You are")).to_be_visible()
    expect(sidebar.get_by_role("link", name=re.compile("Overview"))).to_be_visible()
    expect(sidebar.get_by_text("deliver", exact=True)).to_have_count(0)


def test_two_clicks_half_a_second_apart_approve_once_and_a_stale_tab_is_told(dashboard: Dashboard, page: Page) -> None:
    # given the waiting promotion, open in two tabs
    waiting = state(dashboard.home)["promotion"]
    other = page.context.new_page()
    for tab in (page, other):
        tab.goto(f"{dashboard.address}/approvals?promotion={waiting['id']}")
        expect(tab.get_by_role("button", name="Approve")).to_be_visible()

    # when the first tab clicks twice, half a second apart
    button = page.get_by_role("button", name="Approve")
    box = button.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.click(x, y)
    page.wait_for_timeout(500)
    page.mouse.click(x, y)

    # then it is live, after one approval
    expect(page.get_by_text("succeeded").or_(page.get_by_text("is live")).first).to_be_visible()
    once(lambda: state(dashboard.home)["bundle"], lambda bundle: bundle == waiting["bundle"])
    events = approvals_in_the_record(dashboard.home, waiting["id"])
    assert events == 1

    # and the tab that still shows the old state gets a clear message
    other.get_by_role("button", name="Approve").click()
    expect(other.get_by_text(re.compile("does not wait for an approval"))).to_be_visible()


def approvals_in_the_record(home: Path, promotion: int) -> int:
    from sqlmodel import select

    from services.store.database import Store
    from services.store.models import Approval

    store = Store(f"sqlite:///{home / 'headgate.db'}")
    with store.reading() as session:
        found = len(session.exec(select(Approval).where(Approval.promotion_id == promotion)).all())
    store.close()
    return found


def once(look: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """Look until it is as wanted, for at most half a minute: the worker needs a moment."""
    for _ in range(60):
        if wanted(found := look()):
            return found
        time.sleep(0.5)
    raise AssertionError(f"it stays {found!r}")


def test_rolling_back_takes_the_preselected_target_and_holds_the_stage(dashboard: Dashboard, page: Page) -> None:
    # given the Application page, where the best target is chosen already
    removed = state(dashboard.home)["bundle"]
    page.goto(f"{dashboard.address}/application?name={APPLICATION}")
    page.get_by_role("button", name="Roll back production").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text(re.compile("production goes from"))).to_be_visible()

    # when a reason is given and it is confirmed
    dialog.get_by_label("Reason").fill("Passengers complain")
    dialog.get_by_role("button", name=re.compile("Roll back")).click()

    # then an older bundle is live, and automation is held out
    expect(page.get_by_text(re.compile("Automation is held out of production")).first).to_be_visible()
    expect(dialog).to_have_count(0)
    live = once(lambda: state(dashboard.home)["bundle"], lambda bundle: bundle != removed)
    expect(page.get_by_role("heading", name=f"{live} is live in production")).to_be_visible()
    resolved = json.loads(headgate("resolve", APPLICATION, "--stage", "production", "--json", home=dashboard.home))
    assert resolved["bundle"] == live
    assert "agrees" in headgate("reconcile", home=dashboard.home)


def test_after_all_that_the_dashboards_process_has_not_imported_mlflow(dashboard: Dashboard) -> None:
    imported = dashboard.imported()
    assert "streamlit" in imported
    assert not {name for name in imported if name.split(".")[0] == "mlflow"}
    assert not {name for name in imported if name.startswith("services.work")}
