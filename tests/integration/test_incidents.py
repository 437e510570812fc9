"""Incidents and imported histories, on both databases: open, infer, link, resolve; files as people have them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hands import Team
from sqlmodel import select

from services.clock import StoryClock
from services.commands import imports, incidents
from services.commands.history_files import FileRefused
from services.commands.incidents import NONE_NEEDED, Report
from services.errors import BadInput, Conflict, NotAllowed, NotFound
from services.queries import incidents as reading
from services.queries import measures
from services.rules.domain import Blame, Cause, Person
from services.rules.metrics import window
from services.store.database import Store
from services.store.models import Application, AuditEvent, Bundle, Deployment, Slot
from services.store.trouble import Incident

DEPLOYMENTS = """id,application,stage,bundle,finished_at
d1,flights,production,v1,2026-01-05T10:00:00Z
d2,flights,production,v2,2026-01-06T10:00:00+01:00
"""
INCIDENTS = """id,application,title,impact_started_at,detected_at,resolved_at,caused_by
i1,flights,Late,2026-01-06T12:00:00Z,2026-01-06T12:30:00Z,2026-01-06T14:00:00Z,d1
i2,flights,Later,2026-01-06T13:00:00Z,2026-01-06T13:30:00Z,,
"""


@pytest.fixture
def team(either_store: Store, clock: StoryClock, maker: Person, lead: Person) -> Team:
    return Team(either_store, clock, maker, lead)


def told(team: Team, began: datetime, *, title: str = "Late notices", caused_by: Blame = Cause.UNKNOWN) -> int:
    report = Report("delays", title, began, began + timedelta(minutes=5), "high", caused_by)
    return incidents.open_(team.store, report, actor=team.maker, clock=team.clock)


def one(team: Team, number: int) -> Incident:
    with team.store.reading() as session:
        found = session.get(Incident, number)
        assert found is not None
        session.expunge(found)
        return found


def written(folder: Path, text: str, *, encoding: str = "utf-8") -> Path:
    path = folder / "history.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_the_cause_is_inferred_from_the_times_and_marked_as_that(team: Team) -> None:
    team.live(1)
    (live,) = team.deployments()
    team.wait(hours=1)

    found = one(team, told(team, team.clock.now()))

    assert (found.caused_by, found.inferred) == (live.id, True)


@pytest.mark.parametrize(
    ("after", "linked"), [(timedelta(0), True), (timedelta(days=7), True), (timedelta(days=9), False)]
)
def test_an_incident_is_a_deployments_for_as_long_as_the_policy_says(
    team: Team, after: timedelta, linked: bool
) -> None:
    team.live(1)
    (live,) = team.deployments()
    assert live.finished_at is not None

    found = one(team, told(team, live.finished_at + after))

    assert (found.caused_by is not None) is linked


def test_a_named_cause_is_explicit_and_a_stranger_is_refused(team: Team) -> None:
    team.live(1)
    (live,) = team.deployments()

    assert not one(team, told(team, team.clock.now(), caused_by=live.id)).inferred
    with pytest.raises(NotFound, match="no deployment 999"):
        told(team, team.clock.now(), caused_by=999)


def test_no_deployment_is_an_answer_of_its_own_and_unknown_takes_it_back(team: Team) -> None:
    team.live(1)
    (live,) = team.deployments()
    number = told(team, team.clock.now())
    said = []

    for cause in (Cause.NONE, live.id, Cause.UNKNOWN):
        assert cause is not None
        incidents.link(team.store, number, cause, actor=team.maker, clock=team.clock)
        found = one(team, number)
        said.append((found.cause, found.caused_by, found.inferred))

    assert said == [
        (Cause.NONE, None, False),
        (Cause.DEPLOYMENT, live.id, False),
        (Cause.UNKNOWN, live.id, True),
    ]
    with team.store.reading() as session:
        events = session.exec(
            select(AuditEvent.body).where(AuditEvent.action == "incident.linked").order_by(AuditEvent.seq)
        ).all()
        assert [json.loads(body)["facts"]["cause"] for body in events] == ["none", "deployment", "unknown"]
        assert json.loads(events[0])["facts"]["before"] == {"cause": "unknown", "caused_by": live.id}


def test_what_no_deployment_caused_is_not_inferred_again_by_the_metrics(team: Team) -> None:
    team.live(1)
    team.wait(hours=1)
    number = told(team, team.clock.now(), caused_by=Cause.NONE)
    team.wait(hours=1)

    values = measures.measured(team.store, now=team.clock.now()).values
    assert values["change_fail_rate"].value == 0
    assert (values["incidents"].value, values["unattributed_incidents"].value) == (1, 0)

    incidents.link(team.store, number, Cause.UNKNOWN, actor=team.maker, clock=team.clock)
    assert measures.measured(team.store, now=team.clock.now()).values["change_fail_rate"].value == 1


def test_closing_one_takes_what_was_done_and_the_gate_that_would_have_caught_it(team: Team) -> None:
    team.live(1)
    number = told(team, team.clock.now())
    with pytest.raises(BadInput, match="Which gate"):
        incidents.resolve(team.store, number, actor=team.maker, clock=team.clock, done="Went back.", caught_by=" ")

    team.wait(hours=1)
    incidents.resolve(team.store, number, actor=team.maker, clock=team.clock, done="Went back.", caught_by=NONE_NEEDED)

    (line,) = reading.listing(team.store, "delays")
    assert (line.open, line.done, line.caught_by, line.bundle) == (False, "Went back.", NONE_NEEDED, "delays/1")
    with pytest.raises(Conflict, match="resolved already"):
        incidents.resolve(team.store, number, actor=team.maker, clock=team.clock, done="Again.", caught_by="accuracy")


def test_times_that_cannot_be_are_refused(team: Team) -> None:
    team.live(1)
    now = team.clock.now()
    report = Report("delays", "Late", now, now - timedelta(minutes=1))
    with pytest.raises(BadInput, match="before its impact began"):
        incidents.open_(team.store, report, actor=team.maker, clock=team.clock)
    number = told(team, now)
    with pytest.raises(BadInput, match="resolved before its impact began"):
        incidents.resolve(
            team.store,
            number,
            actor=team.maker,
            clock=team.clock,
            done="Went back.",
            caught_by=NONE_NEEDED,
            resolved_at=now - timedelta(days=1),
        )


def test_who_only_looks_may_not_open_one(team: Team, viewer: Person) -> None:
    now = team.clock.now()
    with pytest.raises(NotAllowed):
        incidents.open_(team.store, Report("delays", "Late", now, now), actor=viewer, clock=team.clock)


def test_the_same_key_is_the_same_incident(team: Team) -> None:
    now = team.clock.now()
    report = Report("delays", "Late", now, now)

    numbers = {incidents.open_(team.store, report, actor=team.maker, clock=team.clock, key="once") for _ in range(3)}

    assert len(numbers) == 1


# -- imports -----------------------------------------------------------------------------------------------------


def bring_in(team: Team, folder: Path, deployments: str = DEPLOYMENTS) -> imports.Imported:
    return imports.deployments(team.store, written(folder, deployments), actor=team.maker, clock=team.clock)


def test_an_import_creates_the_application_says_so_and_touches_no_slot(team: Team, tmp_path: Path) -> None:
    found = bring_in(team, tmp_path)

    assert (found.added, found.known, found.applications) == (2, 0, ("flights",))
    with team.store.reading() as session:
        application = session.get(Application, "flights")
        assert application is not None
        assert application.policy_revision is None
        assert not session.exec(select(Slot).where(Slot.application == "flights")).all()
        bundles = session.exec(select(Bundle).where(Bundle.application == "flights")).all()
        assert {(bundle.number, bundle.label) for bundle in bundles} == {(None, "v1"), (None, "v2")}
        times = session.exec(select(Deployment.finished_at).where(Deployment.external_id == "d2")).all()
        assert times == [datetime(2026, 1, 6, 9, tzinfo=UTC)]


def test_an_import_run_twice_adds_nothing(team: Team, tmp_path: Path) -> None:
    bring_in(team, tmp_path)
    again = bring_in(team, tmp_path)
    path = written(tmp_path, INCIDENTS)
    first, second = (imports.past_incidents(team.store, path, actor=team.maker, clock=team.clock) for _ in range(2))

    assert (again.added, again.known, again.applications) == (0, 2, ())
    assert ((first.added, first.known), (second.added, second.known)) == ((2, 0), (0, 2))


def test_a_dry_run_stores_nothing(team: Team, tmp_path: Path) -> None:
    path = written(tmp_path, DEPLOYMENTS)

    found = imports.deployments(team.store, path, actor=team.maker, clock=team.clock, dry_run=True)

    assert found.added == 2
    with team.store.reading() as session:
        assert session.get(Application, "flights") is None


def test_a_cause_that_is_named_is_the_imported_deployment_and_else_inferred(team: Team, tmp_path: Path) -> None:
    bring_in(team, tmp_path)
    imports.past_incidents(team.store, written(tmp_path, INCIDENTS), actor=team.maker, clock=team.clock)

    with team.store.reading() as session:
        by_number = dict(session.exec(select(Deployment.id, Deployment.external_id)).all())
        found = session.exec(select(Incident).order_by(Incident.external_id)).all()
        causes = [(by_number[row.caused_by], row.inferred) for row in found]

    assert causes == [("d1", False), ("d2", True)]


def test_none_is_the_word_for_no_deployment(team: Team, tmp_path: Path) -> None:
    bring_in(team, tmp_path)
    path = written(tmp_path, INCIDENTS.replace(",d1\n", ",None\n"))
    imports.past_incidents(team.store, path, actor=team.maker, clock=team.clock)

    causes = {line.title: (line.cause, line.caused_by) for line in reading.listing(team.store, "flights")}
    assert causes["Late"] == (Cause.NONE, None)
    assert causes["Later"][0] is Cause.UNKNOWN
    with pytest.raises(FileRefused, match=r"row 2: the id 'none' is the word for “no deployment”"):
        bring_in(team, tmp_path, DEPLOYMENTS.replace("d1,", "none,"))


@pytest.mark.parametrize(("said", "stored"), [("", None), ("true", True), ("no", False)])
def test_planned_is_what_the_file_says_and_nothing_where_it_says_nothing(
    team: Team, tmp_path: Path, said: str, stored: bool | None
) -> None:
    header, row = DEPLOYMENTS.splitlines()[:2]
    bring_in(team, tmp_path, f"{header},planned\n{row},{said}\n")

    with team.store.reading() as session:
        assert session.exec(select(Deployment.planned)).one() is stored


@pytest.mark.parametrize(("said", "rework"), [("", 0.25), ("true", 0), ("false", 0.25)])
def test_a_rollback_that_only_the_order_shows_is_rework_unless_it_was_planned(
    team: Team, tmp_path: Path, said: str, rework: float
) -> None:
    rows = [f"d{day},flights,production,{label},2026-01-0{day}T10:00:00Z," for day, label in enumerate("abca", start=1)]
    bring_in(team, tmp_path, "\n".join(["id,application,stage,bundle,finished_at,planned", *rows]) + said)

    within, as_of = window(date(2026, 1, 1), date(2026, 2, 1)), datetime(2026, 2, 1, tzinfo=UTC)
    values = measures.measured(team.store, ["flights"], within=within, as_of=as_of).values

    assert values["deployment_rework_rate"].value == rework


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_byte_order_mark_and_other_delimiters_are_taken(team: Team, tmp_path: Path, delimiter: str) -> None:
    path = written(tmp_path, DEPLOYMENTS.replace(",", delimiter), encoding="utf-8-sig")

    assert imports.deployments(team.store, path, actor=team.maker, clock=team.clock).added == 2


def test_a_missing_column_is_named(team: Team, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no column bundle, finished_at"):
        bring_in(team, tmp_path, "id,application,stage\nd1,flights,production\n")


def test_a_time_without_a_zone_is_refused(team: Team, tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match=r"row 2: finished_at '2026-01-05T10:00:00' has no zone"):
        bring_in(team, tmp_path, DEPLOYMENTS.replace("10:00:00Z", "10:00:00"))


def test_an_incident_that_was_over_before_it_began_is_refused(team: Team, tmp_path: Path) -> None:
    bring_in(team, tmp_path)
    path = written(tmp_path, INCIDENTS.replace("2026-01-06T14:00:00Z", "2026-01-01T00:00:00Z"))
    with pytest.raises(FileRefused, match="row 2: resolved_at is before impact_started_at"):
        imports.past_incidents(team.store, path, actor=team.maker, clock=team.clock)


def test_five_percent_of_bad_rows_are_told_with_their_numbers_and_nothing_is_kept(team: Team, tmp_path: Path) -> None:
    rows = [
        f"d{number},flights,production,v{number},{'yesterday' if number % 20 == 0 else '2026-01-05T10:00:00Z'}"
        for number in range(1, 401)
    ]
    with pytest.raises(FileRefused) as refused:
        bring_in(team, tmp_path, "\n".join(["id,application,stage,bundle,finished_at", *rows]))

    numbers = [int(mistake.split(":")[0].removeprefix("row ")) for mistake in refused.value.mistakes]
    assert numbers == [number + 1 for number in range(20, 401, 20)]
    with team.store.reading() as session:
        assert session.get(Application, "flights") is None


def test_a_cause_that_nobody_imported_is_refused_and_nothing_is_kept(team: Team, tmp_path: Path) -> None:
    bring_in(team, tmp_path)
    with pytest.raises(FileRefused, match="incident i1: flights has no deployment 'd9'"):
        imports.past_incidents(
            team.store, written(tmp_path, INCIDENTS.replace(",d1", ",d9")), actor=team.maker, clock=team.clock
        )
    assert not reading.listing(team.store, "flights")
