"""The Delivery page: what it says first, what stands behind each number, and what it says where there is nothing."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from delivering import LOU, Delivery, Open, sentence, words
from streamlit.testing.v1 import AppTest

from pages.components import behind, course, figures, reads
from services import clock as clocks
from services.clock import WallClock
from services.commands import imports, incidents
from services.commands.incidents import Report
from services.queries import measures
from services.queries.measures import Measured
from services.rules.metrics import PartName, last_days
from services.rules.spoken import share
from services.store.database import Store

PAGE = "measure/delivery"
MARKUP = "<b>search</b> *x* [a](b)"


@pytest.fixture
def past(store: Store, tmp_path: Path) -> Path:
    """Twenty deployments of an application without a policy, one every third day; every fifth goes back."""
    now = clocks.wall()
    lines = ["id,application,stage,bundle,finished_at,requested_at,started_at,commits"]
    bundles: list[str] = []
    for number in range(20):
        finished = now - timedelta(days=3 * (20 - number))
        back = number % 5 == 4
        bundle = bundles[-2] if back else f"v{number}"
        if not back:
            bundles.append(bundle)
        commit = "" if back else (finished - timedelta(hours=10 + number)).isoformat()
        requested, started = finished - timedelta(hours=2), finished - timedelta(minutes=6)
        lines.append(
            f"d{number},{MARKUP},production,{bundle},{finished.isoformat()},"
            f"{requested.isoformat()},{started.isoformat()},{commit}"
        )
    path = tmp_path / "deployments.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    imports.deployments(store, path, actor=LOU, clock=WallClock())
    return path


def bring_incidents(store: Store, folder: Path) -> None:
    began = clocks.wall() - timedelta(days=200)
    path = folder / "incidents.csv"
    path.write_text(
        "id,application,title,impact_started_at,detected_at,resolved_at\n"
        f"i1,{MARKUP},Late,{began.isoformat()},{began.isoformat()},{(began + timedelta(hours=1)).isoformat()}\n",
        encoding="utf-8",
    )
    imports.past_incidents(store, path, actor=LOU, clock=WallClock())


def metric(at: AppTest, label: str) -> str:
    (found,) = [each for each in at.metric if each.label == label]
    return str(found.value).replace("\\", "").replace("\u2060", "")


def read(store: Store) -> Measured:
    return measures.measured(store, within=last_days(90, clocks.wall()))


def test_an_empty_store_is_told_what_to_do_next(open_page: Open, store: Store) -> None:
    at = open_page(PAGE)

    assert sentence(at) == "Nothing is delivered here yet."
    assert "headgate deployment import" in words(at)


def test_it_says_first_how_much_went_out_and_how_much_failed(open_page: Open, past: Path) -> None:
    at = open_page(PAGE)

    assert sentence(at) == "16 deployments to production in 90 days; 4 failed."
    assert "Half of the changes were live within" in words(at)
    assert metric(at, "Deployment frequency") == "1.2 a week"
    assert metric(at, "Change fail rate") == "25 %"
    assert metric(at, "Deployment rework rate") == "20 %"
    assert metric(at, "Rollback time") == ":gray[2 hours]"  # four of them: too few to judge


def test_where_the_time_went_names_the_part_with_the_longest_bar(open_page: Open, past: Path, store: Store) -> None:
    said = words(open_page(PAGE))

    parts = read(store).parts
    hours = {name: sum(part.hours for part in parts if part.name is name) for name in PartName}
    assert max(hours, key=lambda name: hours[name]) is PartName.QUEUE
    assert f"{share(hours[PartName.QUEUE] / sum(hours.values()))} of the time was in the queue" in said


def test_every_number_says_its_n_and_opens_its_rows(open_page: Open, past: Path) -> None:
    at = open_page(PAGE)

    labels = [button.label for button in at.button]
    assert "How is this computed? 16 deployments" in labels
    assert "How is this computed? 16 commits" in labels
    assert "How is this computed? 20 deployments" in labels
    assert "n = 16 deployments, 95 %: 10 to 49 %" in words(at)
    assert "n = 4 rollbacks: too few to judge" in words(at)


def test_a_drawer_shows_definition_formula_and_as_many_rows_as_were_counted(past: Path, store: Store) -> None:
    found = read(store)

    for name, value in found.values.items():
        rows = found.rows(value.samples)
        assert len(rows) == value.n, name
        assert figures.formula(value)
    assert figures.formula(found.values["change_fail_rate"]).startswith("4 / 16 = 25 %")
    downloaded = list(
        csv.DictReader(io.StringIO(behind._csv(found.rows(found.values["deployments"].samples)).decode()))
    )
    assert len(downloaded) == 16
    assert {row["application"] for row in downloaded} == {MARKUP}


def test_the_body_of_a_drawer_says_it_in_words(open_page: Open, past: Path) -> None:
    at = open_page(PAGE)

    at = next(b for b in at.button if b.label == "How is this computed? 20 deployments").click().run()

    assert not at.exception
    said = words(at)
    assert "4 / 20 = 20 %" in said
    assert "20 rows" in said
    assert "unplanned ones that a failure caused" in said


def test_nothing_failed_and_nobody_reports_are_different_texts(open_page: Open, team: Delivery, tmp_path: Path) -> None:
    team.bring_live(team.make())
    said = words(open_page(PAGE))
    assert "No incident source is connected" in said
    assert "Nothing failed" not in said
    assert "whether any failed, nobody reports" in sentence(open_page(PAGE))

    bring_incidents(team.store, tmp_path)
    reads.forget()

    at = open_page(PAGE)
    assert "Nothing failed in this window, and incidents are recorded." in words(at)
    assert "No incident source" not in words(at)
    assert sentence(at) == "1 deployment to production in 90 days; none failed."


def test_a_name_that_is_markup_is_shown_as_it_was_written(open_page: Open, past: Path, team: Delivery) -> None:
    at = open_page(PAGE, app=MARKUP)

    assert "16 deployments" in sentence(at)
    assert MARKUP in at.multiselect[0].options


def test_the_address_chooses_applications_window_zone_and_moment(open_page: Open, past: Path, team: Delivery) -> None:
    team.bring_live(team.make())
    month_ago = (clocks.wall() - timedelta(days=31)).isoformat()

    assert sentence(open_page(PAGE, app="delays")).startswith("1 deployment to production in 90 days")
    assert "in 30 days" in sentence(open_page(PAGE, window="30 days"))
    assert "in 182 days" in sentence(open_page(PAGE, window="half a year"))
    assert "days of Europe/Berlin" in words(open_page(PAGE, zone="Europe/Berlin"))
    assert sentence(open_page(PAGE, as_of=month_ago)).startswith("8 deployments")
    free = {"window": "free", "from": "2026-03-02", "to": "2026-03-09"}
    assert "2 Mar to 8 Mar 2026" in words(open_page(PAGE, **free))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"zone": "Mars/Olympus"}, "'Mars/Olympus' is not a time zone that is known here."),
        ({"window": "free", "from": "2026-03-09", "to": "2026-03-09"}, "has no days in it"),
        ({"window": "free", "from": "soon"}, "'soon' is not a day."),
        ({"window": "a while"}, "'a while' is not a window."),
        ({"as_of": "2026-03-09T10:00:00"}, "has no zone"),
        ({"app": "nobody"}, "There is no application 'nobody'."),
        ({"team": "nobody"}, "No application belongs to a team 'nobody'."),
    ],
)
def test_an_address_that_makes_no_sense_is_explained(
    open_page: Open, past: Path, parameters: dict[str, str], said: str
) -> None:
    assert said in sentence(open_page(PAGE, **parameters))


def test_a_clicked_point_week_mark_or_bar_opens_exactly_what_is_behind_it(past: Path, store: Store) -> None:
    found = read(store)
    points = found.trend("change_lead_time")

    (one,) = course.picked(found, points, [["sample", 3]]).samples  # type: ignore[union-attr]
    assert one == list(found.values["change_lead_time"].samples)[3]
    for number, week in enumerate(points):
        picked = course.picked(found, points, [["week", number]])
        assert picked is not None
        assert len(picked.samples) == week.value.n
    back = found.values["rollback_time"].ids[0]
    assert course.picked(found, points, [["rollback", back]]).samples[0].id == back  # type: ignore[union-attr]
    everything = course.picked_part(found, [["all", PartName.DEPLOY.value]])
    assert everything is not None
    assert len(everything.samples) == len(found.ledgers) == 16
    assert sum(sample.value for sample in everything.samples) == pytest.approx(16 * 0.1)
    assert course.picked(found, points, []) is None


def test_weeks_without_data_are_gaps_and_the_current_week_is_marked(past: Path, store: Store) -> None:
    points = read(store).trend("change_lead_time")

    assert [point for point in points if point.value.value is None]
    assert points[-1].partial
    assert points[-1].week.start <= datetime.now(UTC)


def test_an_incident_is_shown_with_its_title_wherever_rows_are_opened(
    open_page: Open, team: Delivery, tmp_path: Path
) -> None:
    team.bring_live(team.make())
    bring_incidents(team.store, tmp_path)
    found = measures.measured(team.store, within=last_days(365, clocks.wall()))
    doubts = [row for row in found.quality if row.subject == "incident"]

    counted = behind.titled(found, found.rows(found.values["unattributed_incidents"].samples))
    doubted = behind.titled(found, [found.row(row.subject, row.id, row.at, 1.0, row.text) for row in doubts])

    assert [row.detail for row in counted] == ["“Late” unattributed"]
    assert all(row.detail.startswith("“Late” ") for row in doubted)
    assert doubted


def test_a_failed_deployment_says_which_incident_it_caused(store: Store, team: Delivery) -> None:
    team.bring_live(team.make())
    team.clock.elapse(60)
    now = team.clock.now()
    incidents.open_(store, Report("delays", "Late notices", now, now), actor=LOU, clock=team.clock)
    found = read(store)

    (row,) = behind.titled(found, found.rows(found.values["recovery_open"].samples), failures=True)

    assert row.detail == "“Late notices” open"


def test_missing_commits_and_other_doubts_open_their_rows(open_page: Open, team: Delivery) -> None:
    team.bring_live(team.make())
    at = open_page(PAGE)

    (button,) = [button for button in at.button if "missing commits" in button.label]
    at = button.click().run()

    assert "1 row" in words(at)


def test_what_fell_since_the_window_before_is_not_drawn_as_a_rise(open_page: Open, past: Path) -> None:
    deltas = [metric.delta for metric in open_page(PAGE, window="30 days").metric if metric.delta]

    assert any(delta.startswith("+") for delta in deltas)
    assert any(delta.startswith("-") for delta in deltas)
