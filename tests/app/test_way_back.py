"""The way back on its pages: what the dialog shows and asks, hold and freeze, strays, a changed artifact, drills."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from delivering import LOU, Delivery, Open, newest, press, sentence, words
from sqlmodel import select
from streamlit.testing.v1 import AppTest

from pages.components import reads
from services.commands import bundles, drills, freezes, preflights, rollbacks, strays
from services.queries import application
from services.queries.application import RollbackOffer
from services.rules.domain import BundleRef, SlotRef
from services.rules.preflight import Answer, Finding
from services.store.models import Bundle, Slot

PRODUCTION = SlotRef("delays", "production")
MOVED = "Moved outside Headgate: bundle.delays@production points at version 7, and delays/2 is what is live here."


@pytest.fixture
def two_live(team: Delivery) -> Delivery:
    """delays/1 was live in production, and delays/2 is."""
    team.bring_live(team.make())
    team.bring_live(team.make())
    return team


def look(team: Delivery, *answers: tuple[int, Answer, str]) -> None:
    """A worker looked at these bundles, by number."""
    for wanted in preflights.wanted(team.store, PRODUCTION):
        for number, answer, finding in answers:
            if wanted.ref.number == number:
                preflights.note(team.store, wanted, [Finding("model", answer, finding)])


def stray(team: Delivery) -> None:
    strays.note(
        team.store,
        PRODUCTION,
        alias="models:/bundle.delays@production",
        says="7",
        should_say="2",
        finding=MOVED,
        clock=team.clock,
    )


def offered(team: Delivery) -> RollbackOffer:
    return application.rollback_offer(team.store, PRODUCTION)


def asked(team: Delivery) -> AppTest:
    """The body of the dialog, as a page of its own: within a dialog, a changed widget would close it."""

    def body(url: str) -> None:
        import streamlit as st
        from delivering import LOU

        from pages.components import actions, desk
        from pages.deliver import going_back
        from services.queries import application
        from services.rules.domain import SlotRef
        from services.store.database import Store

        desk.sit(Store(url), (LOU,))
        st.session_state["page"] = "application"
        actions.say()
        going_back.roll_back(application.rollback_offer(desk.here().store, SlotRef("delays", "production")))

    at = AppTest.from_function(body, default_timeout=30, args=(team.store.url,)).run()
    assert not at.exception
    return at


def slot(team: Delivery) -> Slot:
    with team.store.reading() as session:
        row = session.get(Slot, ("delays", "production"))
        assert row is not None
        session.expunge(row)
        return row


# The dialog


def test_the_best_target_is_chosen_and_its_preflight_stands_beside_it_with_its_age(two_live: Delivery) -> None:
    look(two_live, (1, Answer.SAFE, "The artifact is there, and its digest is the recorded one."))

    at = asked(two_live)

    assert at.selectbox[0].value == "delays/1"
    assert "preflight safe" in at.selectbox[0].options[0]
    said = words(at)
    assert "safe" in said
    assert "looked at just now" in said
    assert "its digest is the recorded one" in said
    assert "goes from delays/2 back to delays/1;" in said
    assert "automation is held until somebody lifts the hold" in said


def test_not_knowing_says_so_and_prevents_nothing(two_live: Delivery) -> None:
    assert "Nobody has looked at it yet. That prevents nothing." in words(asked(two_live))

    look(two_live, (1, Answer.UNKNOWN, "MLflow did not answer when this was looked at."))
    at = asked(two_live)
    assert "MLflow did not answer when this was looked at." in words(at)
    assert not [field for field in at.text_input if "although" in field.label]

    at.text_area[0].input("Passengers complain").run()
    press(at, "Roll back to delays/1")

    assert newest(two_live).rollback


def test_an_unsafe_target_says_why_and_takes_a_reason_of_its_own(two_live: Delivery) -> None:
    look(two_live, (1, Answer.UNSAFE, "The artifact is gone from MLflow."))
    at = asked(two_live)
    assert "The artifact is gone from MLflow." in words(at)

    # without a reason for going there all the same, the service says no, and why
    at.text_area[0].input("Passengers complain").run()
    at = press(at, "Roll back to delays/1")
    assert "is not safe" in words(at)
    assert not newest(two_live).rollback

    (why,) = [field for field in at.text_input if "although" in field.label]
    assert "the preflight calls it unsafe" in why.label
    why.input("The files are back from the archive.").run()
    press(at, "Roll back to delays/1")

    assert newest(two_live).override == "The files are back from the archive."


def test_a_comparison_with_what_was_live_before_no_longer_counts(two_live: Delivery) -> None:
    for wanted in preflights.wanted(two_live.store, PRODUCTION):
        preflights.note(two_live.store, wanted, [Finding("inputs", Answer.UNSAFE, "It needs gate, which is not sent.")])
    two_live.bring_live(two_live.make())

    (way,) = [way for way in offered(two_live).ways if way.candidate.ref.number == 1]

    assert way.looked is not None
    assert way.looked.answer is Answer.UNKNOWN
    rollbacks.roll_back(
        two_live.store, PRODUCTION, actor=LOU, clock=two_live.clock, reason="Noise", to=BundleRef("delays", 1)
    )


def test_a_quarantined_target_is_not_preselected_and_takes_a_reason_of_its_own(two_live: Delivery) -> None:
    bundles.quarantine(two_live.store, BundleRef("delays", 1), actor=LOU, clock=two_live.clock, reason="It leaks.")

    at = asked(two_live)
    assert at.selectbox[0].value is None
    assert "none is preselected" in words(at)
    at.selectbox[0].select("delays/1").run()

    assert "quarantined" in at.selectbox[0].options[0]
    (why,) = [field for field in at.text_input if "although" in field.label]
    assert "it is quarantined" in why.label


def test_what_it_replaces_is_blamed_unless_somebody_knows_better(two_live: Delivery) -> None:
    at = asked(two_live)
    blamed = at.selectbox[1]
    assert [option.split(",")[0] for option in blamed.options] == ["delays/2", "delays/1"]
    assert blamed.options[0].endswith("what is live now")

    earlier = offered(two_live).blamable[1].deployment_id
    at.text_area[0].input("It began a week ago").run()
    at.selectbox[1].select(earlier).run()
    press(at, "Roll back to delays/1")

    assert newest(two_live).blames == earlier


def test_what_is_removed_is_quarantined_where_that_is_ticked(two_live: Delivery) -> None:
    at = asked(two_live)
    at.text_area[0].input("It leaks").run()
    at.checkbox[0].check().run()
    press(at, "Roll back to delays/1")

    assert newest(two_live).blames == offered(two_live).blamable[1].deployment_id
    with two_live.store.reading() as session:
        removed = session.exec(select(Bundle).where(Bundle.number == 2)).one()
        assert (removed.quarantined_by, removed.quarantine_reason) == ("lou", "It leaks")


def test_where_nothing_was_live_before_it_says_so(team: Delivery) -> None:
    team.bring_live(team.make())

    assert "there is nothing to go back to" in words(asked(team))


# Hold and freeze


def test_a_lead_holds_a_stage_with_a_reason_and_lifts_it_again(open_page: Open, two_live: Delivery) -> None:
    at = open_page("application", name="delays")
    at = press(at, "Hold production")
    assert "needs a reason" in words(at)

    why = next(field for field in at.text_input if field.placeholder == "What others should know")
    at = press(why.input("Peak travel week").run(), "Hold production")
    assert "by Lou Martins: Peak travel week" in words(at)
    assert slot(two_live).hold_reason == "Peak travel week"

    at = press(at, "Lift the hold")
    assert "Peak travel week" not in words(at)
    assert slot(two_live).hold_since is None


def test_a_freeze_has_an_end_and_ends_by_itself(open_page: Open, two_live: Delivery) -> None:
    ends = datetime.now(UTC).replace(microsecond=0, second=0) + timedelta(days=3)
    at = open_page("application", name="delays")
    at.radio(key="keep out how").set_value("Freeze").run()
    next(field for field in at.text_input if field.placeholder == "What others should know").input("Holidays").run()
    at.datetime_input[0].set_value(ends.replace(tzinfo=None)).run()
    at = press(at, "Freeze production")

    assert slot(two_live).freeze_until == ends
    assert "production is frozen until" in words(at)
    assert "by Lou Martins: Holidays" in words(at)
    press(at, "Lift the freeze")
    assert slot(two_live).freeze_from is None


def test_a_freeze_that_is_over_is_not_shown(open_page: Open, two_live: Delivery) -> None:
    ends = two_live.clock.now() + timedelta(hours=1)
    freezes.set_(two_live.store, PRODUCTION, actor=LOU, clock=two_live.clock, reason="An hour", ends=ends)

    assert "An hour" not in words(open_page("application", name="delays"))


def test_a_freeze_that_ends_before_it_begins_is_told_on_the_page(open_page: Open, two_live: Delivery) -> None:
    at = open_page("application", name="delays")
    at.radio(key="keep out how").set_value("Freeze").run()
    next(field for field in at.text_input if field.placeholder == "What others should know").input("Holidays").run()
    at.datetime_input[0].set_value(datetime(2020, 1, 1)).run()

    assert "The freeze would end before it begins." in words(press(at, "Freeze production"))
    assert slot(two_live).freeze_from is None


# What is the matter in MLflow


def test_a_stray_is_told_with_two_choices_and_restoring_leaves_the_intent(open_page: Open, two_live: Delivery) -> None:
    stray(two_live)

    at = open_page("application", name="delays")
    assert MOVED in words(at)
    assert "nothing is touched" in words(at)
    assert {"Restore delays/2", "Adopt it"} <= {button.label.replace("\\", "") for button in at.button}
    at = press(at, "Restore delays/2")

    assert "It is being put back, as Lou Martins chose." in words(at)
    (chosen,) = strays.chosen(two_live.store)
    assert chosen.choice is strays.Choice.RESTORE


def test_adopting_takes_a_reason_and_trouble_is_shown_with_the_choices_again(
    open_page: Open, two_live: Delivery
) -> None:
    stray(two_live)
    at = press(open_page("application", name="delays"), "Adopt it")
    assert "needs a reason" in words(at)

    next(field for field in at.text_input if field.placeholder == "Why it may stay").input("A hotfix by night").run()
    at = press(at, "Adopt it")
    (chosen,) = strays.chosen(two_live.store)
    assert (chosen.choice, chosen.reason) == (strays.Choice.ADOPT, "A hotfix by night")

    strays.tell_trouble(two_live.store, chosen.stray_id, "Version 7 has no artifact.")
    reads.forget_everything()
    at = open_page("application", name="delays")
    assert "Version 7 has no artifact." in words(at)
    press(at, "Restore delays/2")
    assert strays.chosen(two_live.store)[0].choice is strays.Choice.RESTORE


def test_who_may_not_choose_is_told_who_may(open_page: Open, two_live: Delivery) -> None:
    stray(two_live)

    at = open_page("application", as_="vic", name="delays")

    assert MOVED in words(at)
    assert "A lead may restore it, an admin may adopt it." in words(at)
    assert not at.button


def test_a_live_bundle_whose_artifact_changed_is_told(open_page: Open, two_live: Delivery) -> None:
    look(two_live, (2, Answer.UNSAFE, "The artifact is not the one that was approved: its digest has changed."))

    said = words(open_page("application", name="delays"))

    assert "What serves in production is not what was approved as delays/2" in said
    assert "its digest has changed" in said
    assert "Looked at" in said


# Drills


def test_a_stage_that_was_never_drilled_says_so_and_how_to(open_page: Open, two_live: Delivery) -> None:
    said = words(open_page("application", name="delays"))

    assert "never practised" in said
    assert "headgate drill delays --stage" in said


def test_the_last_drill_says_when_it_was_and_how_long_both_ways_took(open_page: Open, two_live: Delivery) -> None:
    drill = drills.begin(two_live.store, PRODUCTION, actor=LOU, clock=two_live.clock)
    for half in (drills.back, drills.forward):
        half(two_live.store, drill, actor=LOU, clock=two_live.clock)
        two_live.carry("production")
    assert drills.finish(two_live.store, drill, clock=two_live.clock) == drills.PASSED

    at = open_page("application", name="delays")

    assert "back to delays/1 in 2 seconds, forward again in 2 seconds" in words(at)
    assert "Last drill of production on" in words(at)
    assert sentence(at).startswith("delays/2 is live in production")
    assert slot(two_live).hold_since is None
