"""Incidents on the Application page: what it lists, and the dialogs to open, close and correct one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from delivering import LOU, MIA, Delivery, Open, press, words
from sqlmodel import col, select
from streamlit.testing.v1 import AppTest
from test_statements import MOST, counted

from pages.components import reads
from services.commands import incidents, responses
from services.commands.incidents import NONE_NEEDED, Report
from services.commands.responses import Response
from services.errors import HeadgateError
from services.rules.domain import BundleRef, Cause, SlotRef, Verdict
from services.store.models import Bundle, Deployment, GateRun, Promotion, Slot
from services.store.trouble import Incident

NASTY = "<b>bold</b> :material/home: [a](https://x.example) $z$ **late**"


@pytest.fixture
def two_live(team: Delivery) -> Delivery:
    """delays/1 was live in production, and delays/2 is."""
    team.bring_live(team.make())
    team.bring_live(team.make())
    return team


def report(team: Delivery, title: str = "Late notices", **more: int) -> int:
    team.clock.elapse(600)
    began = team.clock.now() - timedelta(minutes=5)
    told = Report("delays", title, began, team.clock.now(), "high", **more)
    return incidents.open_(team.store, told, actor=MIA, clock=team.clock)


def dialog(team: Delivery, body: str) -> AppTest:
    """The body of a dialog, as a page of its own: within a dialog, a changed widget would close it."""

    def page(store: object, body: str, person: object) -> None:
        import streamlit as st

        from pages.components import actions, desk
        from pages.deliver import going_wrong
        from services import clock as clocks
        from services.queries import application
        from services.queries import incidents as reading

        st.session_state[desk.KEY] = desk.Desk(store, person, ())
        actions.say()
        view = application.detail(store, "delays", clocks.wall())
        lines = reading.listing(store, "delays")
        if body == "open":
            going_wrong.open_on_what_is_live(view, "production", len(lines))
        else:
            getattr(going_wrong, body)(view, lines[0])

    at = AppTest.from_function(page, args=(team.store, body, LOU), default_timeout=30)
    at.run()
    assert not at.exception
    return at


def stored(team: Delivery) -> Incident:
    with team.store.reading() as session:
        found = session.exec(select(Incident)).one()
        session.expunge(found)
        return found


def test_no_incident_is_not_the_same_as_nothing_failed(open_page: Open, two_live: Delivery) -> None:
    said = words(open_page("application", name="delays"))

    assert "None is recorded. That is not the same as “nothing failed”" in said


def test_an_inferred_cause_is_shown_as_inferred(open_page: Open, two_live: Delivery) -> None:
    report(two_live)

    said = words(open_page("application", name="delays"))

    assert "Late notices" in said
    assert "Caused by delays/2" in said
    assert "inferred from the times" in said


def test_a_resolved_incident_says_what_was_done_and_what_would_have_caught_it(
    open_page: Open, two_live: Delivery
) -> None:
    number = report(two_live)
    incidents.resolve(two_live.store, number, actor=MIA, clock=two_live.clock, done="Went back.", caught_by="accuracy")

    said = words(open_page("application", name="delays"))

    assert "Went back. Would have been caught by: accuracy." in said


def test_who_only_looks_is_offered_no_change(open_page: Open, two_live: Delivery) -> None:
    report(two_live)

    labels = [button.label for button in open_page("application", as_="vic", name="delays").button]

    assert not {"Open an incident", "Close it", "Correct the cause"} & set(labels)


def test_a_title_that_is_markup_is_shown_as_it_was_written(open_page: Open, two_live: Delivery) -> None:
    report(two_live, NASTY)

    at = open_page("application", name="delays")

    assert NASTY in words(at)
    assert not any(":material/home:" in element.value for element in at.markdown)


def test_opening_one_records_it_and_does_nothing_else_unless_told(two_live: Delivery) -> None:
    at = dialog(two_live, "open")
    at.text_input[0].input("Calibration is off")
    at = press(at, "Open it")

    found = stored(two_live)
    assert (found.title, found.inferred, found.resolved_at) == ("Calibration is off", True, None)
    with two_live.store.reading() as session:
        assert not session.exec(select(Promotion).where(Promotion.rollback)).all()


def test_opening_one_can_roll_back_and_quarantine_with_the_same_press(two_live: Delivery) -> None:
    at = dialog(two_live, "open")
    at.text_input[0].input("Calibration is off")
    for box in at.checkbox[:2]:
        box.check()
    at.run()
    at = press(at, "Open it")

    assert not at.error
    with two_live.store.reading() as session:
        (back,) = session.exec(select(Promotion).where(Promotion.rollback)).all()
        slot = session.get(Slot, ("delays", "production"))
        live = session.exec(select(Bundle).where(Bundle.number == 2)).one()
        assert "Calibration is off" in back.reason
        assert slot is not None
        assert slot.hold_since is not None
        assert live.quarantined_at is not None


def test_without_a_title_it_says_so_and_opens_nothing(two_live: Delivery) -> None:
    at = press(dialog(two_live, "open"), "Open it")

    assert "needs a title" in words(at)
    with two_live.store.reading() as session:
        assert not session.exec(select(Incident)).all()


def test_pressing_twice_opens_one(two_live: Delivery) -> None:
    at = dialog(two_live, "open")
    at.text_input[0].input("Calibration is off")
    pressed = press(at, "Open it")
    for button in pressed.button:
        if button.label == "Open it":
            button.click().run()

    assert stored(two_live).title == "Calibration is off"


def test_closing_one_asks_for_the_gate_that_would_have_caught_it(two_live: Delivery) -> None:
    report(two_live)
    at = dialog(two_live, "close")
    at.text_area[0].input("Went back to the model before.")
    at = press(at, "Close it")
    assert "Which gate would have caught it is not said" in words(at)

    at.selectbox[0].select(NONE_NEEDED)
    press(at, "Close it")

    found = stored(two_live)
    assert (found.done, found.caught_by) == ("Went back to the model before.", NONE_NEEDED)


def test_the_cause_can_be_corrected_and_is_then_explicit(two_live: Delivery) -> None:
    report(two_live)
    assert stored(two_live).inferred
    with two_live.store.reading() as session:
        first = session.exec(
            select(Deployment.id).where(Deployment.stage == "production").order_by(col(Deployment.id))
        ).first()

    press(dialog(two_live, "link").selectbox[0].select(first).run(), "That was it")

    found = stored(two_live)
    assert (found.caused_by, found.inferred) == (first, False)


def test_that_no_deployment_caused_it_is_said_kept_and_shown(open_page: Open, two_live: Delivery) -> None:
    report(two_live)

    press(dialog(two_live, "link").selectbox[0].select(Cause.NONE).run(), "That was it")

    found = stored(two_live)
    assert (found.cause, found.caused_by) == (Cause.NONE, None)
    said = words(open_page("application", name="delays"))
    assert "No deployment caused it, as somebody here said." in said
    assert "inferred from the times" not in said


def test_a_cause_that_somebody_named_can_be_left_to_the_rule_again(two_live: Delivery) -> None:
    incidents.link(two_live.store, report(two_live), Cause.NONE, actor=MIA, clock=two_live.clock)

    press(dialog(two_live, "link").selectbox[0].select(Cause.UNKNOWN).run(), "That was it")

    assert stored(two_live).inferred


def test_whether_a_block_was_right_is_said_on_the_bundle_and_corrected_at_any_time(
    open_page: Open, team: Delivery
) -> None:
    team.ask(team.make(), "staging")
    team.judge(accuracy=Verdict.FAILED)
    at = press(open_page("bundle", as_="mia", ref="delays/1", stage="staging"), "It was a defect")

    assert "It was a defect, says Mia Chen." in words(at)
    with team.store.reading() as session:
        (run,) = session.exec(select(GateRun).where(GateRun.verdict == Verdict.FAILED)).all()
        assert (run.decision, run.decided_by) == ("defect", "mia")

    for label in ("It was a false block", "It was a defect", "It was a false block"):
        at = press(at, label)

        assert f"{label}, says Mia Chen." in words(at)
        assert label not in [button.label for button in at.button]


def test_who_only_looks_does_not_judge_a_block(open_page: Open, team: Delivery) -> None:
    team.ask(team.make(), "staging")
    team.judge(accuracy=Verdict.FAILED)

    labels = [button.label for button in open_page("bundle", as_="vic", ref="delays/1", stage="staging").button]

    assert not any(label.startswith("It was") for label in labels)


def test_many_incidents_take_no_more_statements(open_page: Open, two_live: Delivery) -> None:
    for number in range(40):
        report(two_live, f"Late notices {number}")
    at = open_page("application", name="delays")
    reads.forget_everything()

    with counted() as said:
        at.run()

    assert "35 more incidents" in str([expander.label for expander in at.expander])
    assert len(said) <= MOST, said


def test_a_refused_response_says_that_the_incident_is_open_all_the_same(two_live: Delivery) -> None:
    response = Response(SlotRef("delays", "production"), back_to=BundleRef("delays", 1), generation=0)
    with pytest.raises(HeadgateError, match="is open"):
        responses.open_and_respond(
            two_live.store, response, actor=LOU, clock=two_live.clock, key="once", title="Late notices"
        )

    assert stored(two_live).title == "Late notices"
