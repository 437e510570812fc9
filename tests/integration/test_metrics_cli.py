"""`headgate metrics` on imported histories: the shape that other programs read, the numbers, and bad input."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from desks import Desk, Headgate

from services.clock import WallClock
from services.commands import imports
from services.errors import BadInput
from services.queries import measures
from services.rules.domain import Person, Role
from services.rules.metrics import NAMES, window
from services.settings import Settings
from services.store.database import Store

MIA = Person("mia", frozenset({Role.MAKER, Role.LEAD, Role.ADMIN}))
WEEK = window(date(2026, 3, 2), date(2026, 3, 9))
AS_OF = datetime(2026, 3, 20, tzinfo=UTC)
# The third worked example: a rollback that nobody declared, known by the order of arrival alone.
DEPLOYMENTS = """id,application,stage,bundle,finished_at,requested_at,started_at,commits
a,delays,production,V1,2026-03-02T09:00:00Z,2026-03-02T08:00:00Z,2026-03-02T08:50:00Z,2026-03-02T05:00:00Z
b,delays,production,V2,2026-03-03T10:00:00Z,2026-03-03T08:00:00Z,2026-03-03T09:50:00Z,2026-03-03T08:00:00Z;2026-03-03T09:00:00Z
c,delays,production,V3,2026-03-03T14:00:00Z,2026-03-03T12:00:00Z,2026-03-03T13:50:00Z,2026-03-03T04:00:00Z
d,delays,production,V1,2026-03-03T16:30:00Z,2026-03-03T16:00:00Z,2026-03-03T16:20:00Z,
e,<b>search</b> *x*,production,S1,2026-03-04T09:00:00Z,,,
"""
INCIDENTS = """id,application,title,impact_started_at,detected_at,resolved_at,caused_by
I-1,delays,Late notices,2026-03-03T15:00:00Z,2026-03-03T15:10:00Z,2026-03-03T16:00:00Z,c
"""


def history(store: Store, folder: Path, incidents: str = "") -> None:
    for name, text, bring_in in (
        ("deployments.csv", DEPLOYMENTS, imports.deployments),
        ("incidents.csv", incidents, imports.past_incidents),
    ):
        if text:
            (folder / name).write_text(text, encoding="utf-8")
            bring_in(store, folder / name, actor=MIA, clock=WallClock())


@pytest.fixture
def headgate(either_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Headgate:
    return Desk(either_settings.home, monkeypatch).program(HEADGATE_DATABASE_URL=either_settings.database_url)


def asked(headgate: Headgate, *arguments: str) -> Any:
    code, out, err = headgate("metrics", *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


WHEN = ("--from", "2026-03-02", "--to", "2026-03-09", "--as-of", "2026-03-20T00:00:00Z")


def test_the_json_has_the_window_the_moment_the_zone_and_every_metric(
    headgate: Headgate, either_store: Store, tmp_path: Path
) -> None:
    history(either_store, tmp_path)

    found = asked(headgate, *WHEN)

    assert {name: found[name] for name in ("window", "as_of", "zone")} == {
        "window": ["2026-03-02", "2026-03-09"],
        "as_of": "2026-03-20T00:00:00Z",
        "zone": "UTC",
    }
    assert set(found) == {"window", "as_of", "zone", "metrics"}
    assert list(found["metrics"]) == list(NAMES)
    for metric in found["metrics"].values():
        assert set(metric) == {"value", "unit", "n", "low", "high", "ids", "notes"}


def test_an_imported_history_gives_the_numbers_of_the_worked_example(
    headgate: Headgate, either_store: Store, tmp_path: Path
) -> None:
    history(either_store, tmp_path)

    found = asked(headgate, "delays", *WHEN)["metrics"]

    assert found["deployments"]["value"] == 3
    assert found["deployments_all"]["value"] == 4
    assert found["change_fail_rate"]["value"] == pytest.approx(1 / 3)
    assert (found["change_fail_rate"]["low"], found["change_fail_rate"]["high"]) == pytest.approx(
        (0.0615, 0.7923), abs=1e-4
    )
    assert found["deployment_rework_rate"]["value"] == pytest.approx(1 / 4)
    assert found["failed_deployment_recovery_time"]["value"] == pytest.approx(6.5)
    assert found["rollback_time"]["value"] == pytest.approx(0.5)
    assert found["change_lead_time"]["value"] == pytest.approx(3.0)
    assert found["change_lead_time"]["n"] == 4
    assert found["reproducibility"]["value"] is None
    assert found["reproducibility"]["notes"] == ["not yet tried"]


def test_an_incident_that_names_its_cause_is_believed(headgate: Headgate, either_store: Store, tmp_path: Path) -> None:
    history(either_store, tmp_path, INCIDENTS)

    found = asked(headgate, "delays", *WHEN)["metrics"]

    assert found["change_fail_rate"]["value"] == pytest.approx(2 / 3)
    assert found["incidents"]["value"] == 1
    assert found["unattributed_incidents"]["value"] == 0


def test_every_number_is_the_same_on_both_databases(either_store: Store, tmp_path: Path) -> None:
    history(either_store, tmp_path, INCIDENTS)

    found = measures.measured(either_store, within=WEEK, as_of=AS_OF).values

    told = {name: (value.value, value.low, value.high, value.n) for name, value in found.items()}
    on_sqlite = Store(f"sqlite:///{tmp_path / 'other.db'}")
    try:
        from services.store.migrate import migrate

        migrate(on_sqlite)
        history(on_sqlite, tmp_path, INCIDENTS)
        expected = measures.measured(on_sqlite, within=WEEK, as_of=AS_OF).values
    finally:
        on_sqlite.close()
    assert told == {name: (value.value, value.low, value.high, value.n) for name, value in expected.items()}


def test_asking_for_one_application_reads_only_its_rows(either_store: Store, tmp_path: Path) -> None:
    history(either_store, tmp_path, INCIDENTS)

    found = measures.measured(either_store, ["<b>search</b> *x*"], within=WEEK, as_of=AS_OF)

    assert {event.application for event in found.history.events.deployments} == {"<b>search</b> *x*"}
    assert not found.history.events.incidents
    assert set(found.labels.values()) == {"<b>search</b> *x* S1"}


def test_what_is_recorded_meanwhile_counts_at_the_next_look(either_store: Store, tmp_path: Path) -> None:
    history(either_store, tmp_path)
    assert measures.measured(either_store, within=WEEK, as_of=AS_OF).values["incidents"].value == 0

    history(either_store, tmp_path, INCIDENTS)

    found = measures.measured(either_store, within=WEEK, as_of=AS_OF)
    assert found.values["incidents"].value == 1
    assert found.changed_at is not None


def test_the_csv_has_a_line_for_each_metric(headgate: Headgate, either_store: Store, tmp_path: Path) -> None:
    history(either_store, tmp_path)

    code, out, _ = headgate("metrics", *WHEN, "--csv")

    assert code == 0
    rows = {row["metric"]: row for row in csv.DictReader(io.StringIO(out))}
    assert list(rows) == list(NAMES)
    assert float(rows["deployments"]["value"]) == 4
    assert len(rows["deployments"]["ids"].split()) == 4
    assert rows["reproducibility"]["value"] == ""


def test_the_table_says_its_window_beside_the_answer(headgate: Headgate, either_store: Store, tmp_path: Path) -> None:
    history(either_store, tmp_path)

    code, out, err = headgate("metrics", *WHEN)

    assert code == 0
    assert "Change fail rate" in out
    assert "From 2026-03-02 up to 2026-03-09, without that day, in UTC; as of 2026-03-20T00:00:00Z." in err


def test_an_empty_store_has_no_deployments_and_is_no_error(headgate: Headgate, either_store: Store) -> None:
    found = asked(headgate)["metrics"]

    assert found["deployments"]["value"] == 0
    assert found["change_fail_rate"]["value"] is None
    assert found["change_fail_rate"]["notes"][0] == "no deployments"
    assert headgate("metrics")[:2] == (
        0,
        "No application yet. `headgate apply policy.toml` adds one; `headgate demo` shows a sample.\n",
    )


def test_without_a_window_the_last_ninety_days_count_and_either_end_may_be_left_out() -> None:
    today = measures.between(None, None, "UTC", AS_OF)
    assert (today.first, today.until) == (date(2025, 12, 21), date(2026, 3, 21))
    assert measures.between(date(2026, 3, 1), None, "UTC", AS_OF).until == date(2026, 3, 21)
    assert measures.between(None, date(2026, 3, 9), "UTC", AS_OF).days == 90
    late = datetime(2026, 3, 20, 23, 30, tzinfo=UTC)
    assert measures.between(None, None, "Europe/Berlin", late).until == date(2026, 3, 22)


def test_the_zone_decides_which_day_a_deployment_belongs_to(
    headgate: Headgate, either_store: Store, tmp_path: Path
) -> None:
    history(either_store, tmp_path)
    days = ("delays", "--from", "2026-03-03", "--to", "2026-03-04", "--as-of", "2026-03-20T00:00:00Z")

    assert asked(headgate, *days)["metrics"]["deployments"]["value"] == 2
    found = asked(headgate, *days, "--zone", "Pacific/Auckland")
    assert found["zone"] == "Pacific/Auckland"
    assert found["metrics"]["deployments"]["value"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--zone", "Mars/Olympus"), "is not a time zone"),
        (("--zone", ""), "is not a time zone"),
        (("--from", "2026-03-09", "--to", "2026-03-09"), "has no days in it"),
        (("--from", "2026-03-09", "--to", "2026-03-02"), "has no days in it"),
        (("--from", "yesterday"), "is not a day"),
        (("--as-of", "2026-03-20T00:00:00"), "has no zone"),
        (("--json", "--csv"), "exclude each other"),
        (("nobody",), "There is no application 'nobody'."),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_remedy(
    headgate: Headgate, either_store: Store, arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = headgate("metrics", *arguments)

    assert code == BadInput.exit_code
    assert not out
    assert said in err
    assert len(err.strip().splitlines()[-1].split(". ")) > 1  # and what to do next
