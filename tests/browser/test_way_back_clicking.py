"""The way back at three in the morning, by clicking: roll back, automation stays out, lift the hold; restore."""

from __future__ import annotations

import json
import re
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


def test_a_bad_bundle_goes_back_and_automation_does_not_bring_it_again(dashboard: Dashboard, page: Page) -> None:
    # given a bundle that turns out to be bad, live in development, which automation may enter
    home = dashboard.home
    bad = state(home, "development")["bundle"]

    # when a lead opens the application page and rolls back with the preselected target
    page.goto(f"{dashboard.address}/application?name={APPLICATION}")
    page.get_by_role("button", name="Roll back development").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text(re.compile(f"development goes from {bad} back to"))).to_be_visible()
    expect(dialog.get_by_text(re.compile("Preflight"))).to_be_visible()
    expect(dialog.get_by_text("Because of")).to_be_visible()
    dialog.get_by_label("Reason").fill("It tells everybody that they are late")
    dialog.get_by_role("button", name=re.compile("Roll back to")).click()

    # then the older one is live, and the hold says who and why
    expect(dialog).to_have_count(0)
    said = page.get_by_text(re.compile("Automation is held out of development .*It tells everybody"))
    expect(said).to_be_visible()
    page.wait_for_timeout(4000)
    older = state(home, "development")["bundle"]
    assert older != bad
    resolved = json.loads(headgate("resolve", APPLICATION, "--stage", "development", "--json", home=home))
    assert resolved["bundle"] == older

    # and automation, which looks again, does not bring the bad one back
    headgate("sync", home=home)
    assert state(home, "development")["bundle"] == older
    assert "agrees" in headgate("reconcile", home=home)

    # and when the hold is lifted, with a reason, the page says so no longer
    page.get_by_role("button", name=re.compile("Lift the hold …")).click()
    page.get_by_placeholder("May stay empty").fill("The bundle is mended")
    page.get_by_role("button", name="Lift the hold", exact=True).click()
    expect(said).to_have_count(0)
    assert state(home, "development")["bundle"] == older


def test_an_alias_moved_outside_is_restored_by_a_click(dashboard: Dashboard, page: Page) -> None:
    # given the pointer of production, moved by hand
    from services import settings as settings_module
    from services.clock import WallClock
    from services.store.database import Store
    from services.work import reconcile
    from services.work.tracking import Tracking

    settings = settings_module.load({"HEADGATE_HOME": str(dashboard.home)})
    tracking = Tracking(settings)
    pointer = f"bundle.{APPLICATION}"
    was = tracking.model_aliases(pointer)["production"]
    other = next(v.version for v in tracking.versions(pointer) if v.version != was)
    tracking.set_model_alias(pointer, "production", other)
    reconcile.reconcile(Store(settings.database_url), tracking, clock=WallClock())

    # when the lead reads it on the application page and restores it
    page.goto(f"{dashboard.address}/application?name={APPLICATION}")
    expect(page.get_by_text(re.compile("Moved outside Headgate:"))).to_be_visible()
    page.get_by_role("button", name=re.compile("Restore flight-delay")).click()

    # then the worker puts it right, and the page says so by itself
    expect(page.get_by_text(re.compile("Moved outside Headgate:"))).to_have_count(0, timeout=30_000)
    assert tracking.model_aliases(pointer)["production"] == was
