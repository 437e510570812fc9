"""Every page with data, empty, and for each of the people: what it says first, and what it offers."""

from __future__ import annotations

from datetime import timedelta

import pytest
from delivering import LOU, Delivery, Open, press, sentence, words
from sqlmodel import select

from pages.components import reads, tiles
from services.commands import approvals, bundles, rollbacks
from services.queries import measures
from services.rules.domain import Phase, RunState, SlotRef, Verdict
from services.store.database import Store
from services.store.models import GateRun, Promotion

PRODUCTION = SlotRef("delays", "production")


def test_an_empty_overview_says_what_to_do_next(open_page: Open, store: Store) -> None:
    at = open_page()

    assert sentence(at) == "Nothing is delivered here yet."
    assert "headgate apply" in words(at)
    assert "headgate demo" in words(at)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("bundles", "There are no bundles yet."),
        ("approvals", "Nothing waits for an approval."),
        ("application", "No application is delivered here yet."),
        ("bundle", "Which bundle?"),
    ],
)
def test_every_other_page_is_empty_in_words_too(open_page: Open, store: Store, page: str, said: str) -> None:
    assert sentence(open_page(page)) == said


def test_the_overview_says_first_what_waits_for_the_lead(open_page: Open, team: Delivery) -> None:
    team.bring_live(team.make())
    team.waiting(team.make())

    at = open_page()

    assert sentence(at) == "1 promotion waits for you."
    assert "asked for by Mia Chen" in words(at)
    assert "delays/2 waits for approval" in words(at)


def test_the_overview_has_the_five_numbers_of_the_delivery_page_once_they_are_read(
    open_page: Open, team: Delivery
) -> None:
    team.bring_live(team.make())
    assert not open_page().metric
    measures.measured(team.store)
    reads.forget()

    at = open_page()

    assert [metric.label for metric in at.metric] == list(tiles.FIVE.values())
    assert "1 deployment to production. 1 model version was live within" in words(at)


def test_the_overview_says_to_others_that_nothing_waits_for_them(open_page: Open, team: Delivery) -> None:
    team.waiting(team.make())

    for person in ("mia", "vic"):
        at = open_page(as_=person)
        assert sentence(at) == "Nothing waits for you."
        assert "delays/1 to production: waits for approval." in words(at)


def test_the_overview_names_what_a_gate_blocked_and_why(open_page: Open, team: Delivery) -> None:
    team.ask(team.make(), "staging")
    team.judge(accuracy=Verdict.FAILED)

    said = words(open_page())

    assert "delays/1 to staging: blocked by a gate." in said
    assert "accuracy failed" in said


def test_a_stage_without_gates_is_never_green(open_page: Open, team: Delivery) -> None:
    team.make()

    said = words(open_page())

    assert "not checked" in said
    assert ":green-badge[:material/check_circle: verified]" not in said


def test_the_list_of_bundles_says_what_changed_where_each_is_and_what_is_next(open_page: Open, team: Delivery) -> None:
    team.bring_live(team.make())
    team.make()

    at = open_page("bundles")

    assert sentence(at) == "The newest bundle, delays/2, can be promoted to staging."
    said = words(at)
    assert "Model 1 → 2" in said
    assert "live in production" in said


def test_the_list_can_be_searched_through_its_address(open_page: Open, team: Delivery) -> None:
    team.make()
    team.make()

    assert sentence(open_page("bundles", q="delays/1")) == "1 bundle matches."
    assert sentence(open_page("bundles", q="nobody")) == "No bundle matches."
    assert sentence(open_page("bundles", q="%")) == "No bundle matches."


def test_a_bundle_says_how_ready_it_is_and_what_is_missing(open_page: Open, team: Delivery) -> None:
    team.waiting(team.make())

    at = open_page("bundle", ref="delays/1")

    assert sentence(at) == "Ready for production: 9 of 10 conditions met; waits for 1 approval by a lead."
    said = words(at)
    assert "headgate approve" in said
    assert "accuracy passed." in said
    assert "live in staging" in said


def test_a_failed_gate_is_told_in_the_first_sentence(open_page: Open, team: Delivery) -> None:
    team.ask(team.make(), "staging")
    team.judge(notice=Verdict.FAILED)

    assert "Not ready for staging" in sentence(open_page("bundle", ref="delays/1"))
    assert "notice failed" in sentence(open_page("bundle", ref="delays/1"))


@pytest.mark.parametrize("ref", ["delays/99", "nobody/1"])
def test_a_bundle_that_does_not_exist_is_said_to_be_missing(open_page: Open, team: Delivery, ref: str) -> None:
    assert "There is no" in sentence(open_page("bundle", ref=ref))


def test_an_address_that_is_no_bundle_is_explained(open_page: Open, team: Delivery) -> None:
    at = open_page("bundle", ref="<b>nonsense</b>")

    assert "is not a bundle" in sentence(at)
    assert "flight-delay/12" in words(at)


def test_promoting_from_the_page_makes_one_promotion(open_page: Open, team: Delivery) -> None:
    team.make()

    at = press(open_page("bundle", as_="mia", ref="delays/1"), "Promote to staging")

    assert "its gates are running" in sentence(at)
    assert "No worker answers." in words(at)
    with team.store.reading() as session:
        development, staging = session.exec(select(Promotion).order_by(Promotion.id)).all()
        assert (development.stage, staging.stage) == ("development", "staging")
        assert staging.requested_by == "mia"


def test_who_only_looks_is_offered_nothing_to_press(open_page: Open, team: Delivery) -> None:
    team.bring_live(team.make())
    team.waiting(team.make())

    for page, parameters in (
        ("bundle", {"ref": "delays/2"}),
        ("approvals", {}),
        ("application", {"name": "delays"}),
    ):
        at = open_page(page, as_="vic", **parameters)
        assert not [button.label for button in at.button], page


def test_an_approval_shows_what_is_asked_what_changes_and_what_is_signed(open_page: Open, team: Delivery) -> None:
    team.bring_live(team.make())
    team.waiting(team.make())

    at = open_page("approvals")

    assert sentence(at) == "1 promotion waits for you."
    said = words(at)
    assert "Retrained with one month more." in said
    assert "in place of delays/1" in said
    assert "1 → 2" in said
    assert "accuracy passed." in said
    assert "Decided lately" in said


def test_approving_starts_the_deployment_and_the_page_shows_it(open_page: Open, team: Delivery) -> None:
    promotion = team.waiting(team.make())

    at = press(open_page("approvals"), "Approve")

    assert "deploying" in words(at)
    with team.store.reading() as session:
        assert session.get(Promotion, promotion).phase is Phase.DEPLOYING


def test_evidence_that_has_grown_old_is_run_again_before_anybody_approves(open_page: Open, team: Delivery) -> None:
    team.clock.at -= timedelta(days=20)
    team.waiting(team.make())

    at = open_page("approvals")
    (approve,) = [button for button in at.button if button.label == "Approve"]
    assert approve.disabled
    assert "older than 7 days" in words(at)

    at = press(at, "Run the gates again")
    with team.store.reading() as session:
        newest = session.exec(select(GateRun).order_by(GateRun.id.desc())).first()
        assert (newest.gate, newest.state) == ("accuracy", RunState.QUEUED)


def test_who_asked_for_it_may_take_it_back(open_page: Open, team: Delivery) -> None:
    promotion = team.waiting(team.make())

    at = press(open_page("approvals", as_="mia"), "Withdraw")

    assert "withdrawn" in sentence(at)
    with team.store.reading() as session:
        assert session.get(Promotion, promotion).phase is Phase.WITHDRAWN


def test_the_same_offer_pressed_in_two_tabs_is_one_promotion(open_page: Open, team: Delivery) -> None:
    team.make()
    one, other = open_page("bundle", as_="mia", ref="delays/1"), open_page("bundle", as_="mia", ref="delays/1")

    press(one, "Promote to staging")
    at = press(other, "Promote to staging")

    assert not at.error
    with team.store.reading() as session:
        asked = session.exec(select(Promotion).where(Promotion.stage == "staging")).all()
        assert len(asked) == 1


def test_nobody_approves_their_own(open_page: Open, team: Delivery) -> None:
    team.waiting(team.make())

    at = open_page("approvals", as_="mia")

    assert "Approving takes the role lead." in words(at)
    assert "Approve" not in [button.label for button in at.button]


def test_rejecting_needs_a_reason_and_says_so(open_page: Open, team: Delivery) -> None:
    promotion = team.waiting(team.make())
    at = press(open_page("approvals"), "Reject")
    assert "needs a reason" in words(at)

    at.text_input[0].input("Calibration is off in winter.").run()
    at = press(at, "Reject")

    with team.store.reading() as session:
        row = session.get(Promotion, promotion)
        assert row.phase is Phase.REJECTED
        assert row.note == "Calibration is off in winter."
    assert "rejected" in words(at)


def test_a_tab_that_has_grown_old_gets_a_clear_message(open_page: Open, team: Delivery) -> None:
    promotion = team.waiting(team.make())
    old = open_page("approvals")
    approvals.reject(team.store, promotion, actor=LOU, clock=team.clock, comment="Somebody was faster.")

    at = press(old, "Approve")

    assert "does not wait for an approval" in words(at)


def test_an_application_says_what_is_live_and_offers_the_way_back(open_page: Open, team: Delivery) -> None:
    team.bring_live(team.make())
    team.bring_live(team.make())

    at = open_page("application", name="delays")

    assert sentence(at).startswith("delays/2 is live in production, verified, since")
    assert "Roll back production" in [button.label for button in at.button]
    assert "4 deployments" not in words(at)


def test_the_one_application_needs_no_address(open_page: Open, team: Delivery) -> None:
    team.make()

    assert sentence(open_page("application")) == "Nothing is live in production yet."


def test_an_unknown_application_is_said_to_be_missing(open_page: Open, team: Delivery) -> None:
    assert sentence(open_page("application", name="nobody")) == "There is no application 'nobody'."


def test_a_hold_is_shown_with_who_and_why_and_can_be_lifted(open_page: Open, team: Delivery) -> None:
    team.bring_live(team.make())
    team.bring_live(team.make())
    rollbacks.roll_back(team.store, PRODUCTION, actor=LOU, clock=team.clock, reason="Too many late notices.")
    team.carry("production")

    at = open_page("application", name="delays")
    assert sentence(at).startswith("delays/1 is live in production")
    assert "Too many late notices." in words(at)

    at = press(at, "Lift the hold")
    assert "Too many late notices." not in words(at).split("What was live where")[0]


def test_a_quarantined_bundle_says_so_first(open_page: Open, team: Delivery) -> None:
    ref = team.make()
    bundles.quarantine(team.store, ref, actor=LOU, clock=team.clock, reason="It leaks.")

    assert sentence(open_page("bundle", ref=str(ref))) == "Quarantined by Lou Martins: It leaks."
    assert "quarantined" in words(open_page("bundles"))


NASTY = """O'Brien <b>bold</b> **x** `y` :material/home: $z$ 🚀 [a](https://x.example) """ + "long " * 60


def test_names_that_look_like_markup_are_shown_as_text(open_page: Open, team: Delivery) -> None:
    ref = team.make(template=NASTY, maker=NASTY)
    promotion = team.waiting(ref)
    approvals.reject(team.store, promotion, actor=LOU, clock=team.clock, comment=NASTY)

    for page, parameters in (
        ("", {}),
        ("bundles", {}),
        ("bundle", {"ref": str(ref)}),
        ("approvals", {}),
        ("application", {"name": "delays"}),
    ):
        at = open_page(page, **parameters)
        raw = "\n".join(
            [element.value for kind in ("title", "markdown", "caption", "error") for element in getattr(at, kind)]
            + [str(table.value.to_dict("records")) for table in at.table]
        )
        assert "<b>bold" not in raw, page
        assert "](https://x" not in raw, page
        assert ":material/home:" not in raw, page


def test_a_store_that_cannot_be_opened_is_told_on_the_page(open_page: Open, store: Store) -> None:
    store.close()
    path = store.url.removeprefix("sqlite:///")
    with open(path, "wb") as broken:
        broken.write(b"this is no database, and never was one" * 200)

    at = open_page()

    assert "damaged" in sentence(at)


def test_the_roll_back_dialog_says_in_words_what_will_happen(open_page: Open, team: Delivery) -> None:
    team.bring_live(team.make())
    team.bring_live(team.make())

    at = press(open_page("application", name="delays"), "Roll back production")

    said = words(at)
    assert "goes from delays/2 back to delays/1" in said
    assert "model" in said.split("back to delays/1;")[1].split(";")[0]
    assert "automation is held until somebody lifts the hold" in said
    (target,) = [box for box in at.selectbox if box.label == "Back to"]
    assert target.value == "delays/1"


def test_where_nothing_was_live_before_the_dialog_says_so(open_page: Open, team: Delivery) -> None:
    team.bring_live(team.make())

    at = press(open_page("application", name="delays"), "Roll back production")

    assert "there is nothing to go back to" in words(at)
