"""Delivery and Confidence in a real browser: numbers computed again from their rows, and the printed page."""

from __future__ import annotations

import csv
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from dashboards import Dashboard, headgate
from playwright.sync_api import Page, expect

NAME = "checkout"


@pytest.fixture(scope="module")
def address(dashboard: Dashboard, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A history of sixty days without a policy, of which every fifth deployment goes back."""
    now = datetime.now(UTC).replace(microsecond=0)
    path = tmp_path_factory.mktemp("history") / "deployments.csv"
    bundles: list[str] = []
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(("id", "application", "stage", "bundle", "finished_at", "requested_at", "started_at", "commits"))
        for number in range(30):
            finished = now - timedelta(days=2 * (30 - number))
            back = number % 5 == 4
            bundle = bundles[-2] if back else f"v{number}"
            if not back:
                bundles.append(bundle)
            commit = "" if back else (finished - timedelta(hours=5 + 2 * number)).isoformat()
            requested, started = finished - timedelta(minutes=20 + number), finished - timedelta(minutes=6)
            times = (finished.isoformat(), requested.isoformat(), started.isoformat())
            out.writerow((f"c{number}", NAME, "production", bundle, *times, commit))
    headgate("--as", "leo", "deployment", "import", str(path), home=dashboard.home)
    return f"{dashboard.address}/delivery?app={NAME}"


def metric(home: Path, name: str) -> Any:
    return json.loads(headgate("metrics", NAME, "--json", home=home))["metrics"][name]


def opened(page: Page, tile: str) -> tuple[str, int, list[dict[str, str]]]:
    """What a tile shows, the n that it names, and the rows that it opens, as they are downloaded."""
    box = page.get_by_test_id("stMetric").filter(has_text=tile).first
    shown = box.get_by_test_id("stMetricValue").inner_text()
    buttons = (
        page.get_by_test_id("stVerticalBlock").filter(has=box).last.get_by_role("button", name=re.compile("computed"))
    )
    n = int(re.findall(r"\d+", buttons.first.inner_text())[0])
    buttons.first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text(f"{n} rows", exact=True)).to_be_visible()
    with page.expect_download() as download:
        dialog.get_by_test_id("stDownloadButton").first.get_by_role("button").click()  # not the table's own
    with Path(download.value.path()).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    return shown, n, rows


@pytest.mark.parametrize("asked", ["", "?application=flight-delay"])
def test_the_five_answers_print_on_one_page_and_stand_on_one_screen(
    dashboard: Dashboard, page: Page, asked: str
) -> None:
    page.goto(f"{dashboard.address}/confidence{asked}")
    expect(page.get_by_role("link", name="The deliveries")).to_be_in_viewport(ratio=1)
    expect(page.get_by_text("Rows", exact=True)).to_be_visible()

    printed = page.pdf(format="A4", margin=dict.fromkeys(("top", "bottom", "left", "right"), "10mm"))

    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1


def test_three_numbers_follow_from_the_rows_that_they_open(dashboard: Dashboard, page: Page, address: str) -> None:
    page.goto(address)
    expect(page.get_by_role("heading", name="24 deployments to production in 90 days; 6 failed.")).to_be_visible()

    shown, n, rows = opened(page, "Deployment frequency")
    assert n == len(rows) == len({row["id"] for row in rows})
    assert len(rows) / 90 == pytest.approx(metric(dashboard.home, "deployment_frequency")["value"])
    assert shown == f"{len(rows) / 90 * 7:.2g} a week"

    shown, n, rows = opened(page, "Change fail rate")
    failed = sum(float(row["value"]) for row in rows)
    assert n == len(rows)
    assert failed / n == pytest.approx(metric(dashboard.home, "change_fail_rate")["value"])
    assert shown == f"{failed / n:.0%}".replace("%", " %")

    shown, n, rows = opened(page, "Rollback time")
    middle = median(float(row["value"]) for row in rows)
    assert n == len(rows)
    assert middle == pytest.approx(metric(dashboard.home, "rollback_time")["value"])
    assert shown == f"{int(middle * 60)} minutes"


def test_the_page_never_scrolls_sideways(page: Page, address: str) -> None:
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(address)
        expect(page.get_by_role("heading", name="Data quality")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_click_on_a_week_opens_all_of_it(page: Page, address: str) -> None:
    page.goto(address)
    chart = page.get_by_test_id("stPlotlyChart").first
    expect(chart).to_be_visible(timeout=30_000)
    point = chart.locator(".scatterlayer .trace").nth(1).locator(".points path").nth(3)
    point.scroll_into_view_if_needed()
    point.click(force=True)
    expect(page.get_by_text(re.compile("Week of .*: median|One point"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"^\d+ rows?$"))).to_be_visible()
