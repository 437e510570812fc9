"""The whole way, through a real MLflow and a real store: register, promote, approve, load, roll back, load again."""

from __future__ import annotations

from pathlib import Path

import example
import numpy as np
import pytest

from services.clock import StoryClock
from services.commands import approvals, promotions, rollbacks
from services.errors import Conflict
from services.rules.domain import BundleRef, ComponentKind, Person, Phase, SlotRef
from services.settings import Settings
from services.store import audit
from services.store.database import Store
from services.store.models import Deployment, Slot
from services.work import carry, reconcile, sync
from services.work.tracking import Tracking, load_pyfunc

PRODUCTION = SlotRef("delays", "production")


@pytest.fixture
def tracking(either_settings: Settings) -> Tracking:
    return Tracking(either_settings)


@pytest.fixture
def workshop(either_settings: Settings, tracking: Tracking, tmp_path: Path) -> example.Workshop:
    return example.Workshop(either_settings, tracking, tmp_path / "data")


class Team:
    """The people and the machine of one story."""

    def __init__(
        self, store: Store, settings: Settings, tracking: Tracking, clock: StoryClock, maker: Person, lead: Person
    ) -> None:
        self.store, self.settings, self.tracking, self.clock = store, settings, tracking, clock
        self.maker, self.lead = maker, lead
        example.apply(store, maker, clock, lead)

    def sync(self) -> BundleRef:
        (found,) = sync.sync(self.store, self.tracking, self.settings, actor=self.maker, clock=self.clock)
        assert found.trouble is None
        (made,) = found.registered
        assert made.promotion_id is not None
        assert self.carry(made.promotion_id) is Phase.SUCCEEDED
        return made.ref

    def carry(self, promotion_id: int) -> Phase:
        self.clock.elapse(60)
        return carry.carry_out(self.store, self.tracking, self.settings, promotion_id, clock=self.clock)

    def promote(self, ref: BundleRef, stage: str) -> tuple[int, Phase]:
        promotion = promotions.request(self.store, ref, stage, actor=self.maker, clock=self.clock)
        return promotion, self.carry(promotion)

    def bring_live(self, ref: BundleRef) -> None:
        _, phase = self.promote(ref, "staging")
        assert phase is Phase.SUCCEEDED
        promotion, phase = self.promote(ref, "production")
        assert phase is Phase.AWAITING_APPROVAL
        approvals.approve(self.store, promotion, actor=self.lead, clock=self.clock, comment="Looks good")
        assert self.carry(promotion) is Phase.SUCCEEDED

    def serves(self) -> dict[str, str]:
        """What a server would load from the one pointer, and what the members' copies say."""
        rows = example.frame(rows=5)[example.FEATURES]
        scores = np.asarray(load_pyfunc(self.settings.tracking_uri, "models:/bundle.delays@production").predict(rows))
        return {
            "scores": str(scores.round(6).tolist()),
            "model": self.tracking.model_aliases("delays")["production"],
            "prompt": self.tracking.prompt_aliases("notice")["production"],
        }


@pytest.fixture
def team(
    either_store: Store, either_settings: Settings, tracking: Tracking, clock: StoryClock, maker: Person, lead: Person
) -> Team:
    return Team(either_store, either_settings, tracking, clock, maker, lead)


def test_a_bundle_goes_all_the_way_to_production_and_back(team: Team, workshop: example.Workshop) -> None:
    # given two models with their prompt, both brought to production
    workshop.write_notice()
    workshop.train(seed=7)
    first = team.sync()
    team.bring_live(first)
    before = team.serves()
    workshop.train(seed=21)
    second = team.sync()
    team.bring_live(second)
    after = team.serves()
    assert (before["model"], after["model"]) == ("1", "2")
    assert before["scores"] != after["scores"]

    # when a lead rolls back without naming a target
    promotion = rollbacks.roll_back(team.store, PRODUCTION, actor=team.lead, clock=team.clock, reason="Complaints")
    assert team.carry(promotion) is Phase.SUCCEEDED

    # then exactly the first bundle is served again, a hold is set, and the record names what was to blame
    assert team.serves() == before
    with team.store.reading() as session:
        slot = session.get(Slot, ("delays", "production"))
        assert slot is not None
        assert slot.hold_by == team.lead.name
        live = session.get(Deployment, slot.live_deployment_id)
        assert live is not None
        assert (live.kind.value, live.planned) == ("rollback", False)
        blamed = session.get(Deployment, live.blames)
        assert blamed is not None
        assert blamed.superseded_at == live.finished_at
        assert audit.verify(session).broken_at is None

    # and MLflow and the record agree
    assert all(found.agrees for found in reconcile.reconcile(team.store, team.tracking, clock=team.clock))


def test_a_prompt_only_change_travels_and_returns_with_the_models_digest_unchanged(
    team: Team, workshop: example.Workshop
) -> None:
    # given a live bundle
    workshop.write_notice()
    workshop.train()
    first = team.sync()
    team.bring_live(first)

    # when only the wording changes
    workshop.write_notice("We are sorry: {{airline}} is {{minutes}} minutes late.")
    second = team.sync()
    team.bring_live(second)
    assert team.serves()["prompt"] == "2"

    # then the two bundles share the model, and going back changes the prompt alone
    assert digests(team, first)[ComponentKind.MODEL] == digests(team, second)[ComponentKind.MODEL]
    assert digests(team, first)[ComponentKind.PROMPT] != digests(team, second)[ComponentKind.PROMPT]
    promotion = rollbacks.roll_back(team.store, PRODUCTION, actor=team.lead, clock=team.clock, reason="Wording")
    assert team.carry(promotion) is Phase.SUCCEEDED
    assert (team.serves()["model"], team.serves()["prompt"]) == ("1", "1")


def digests(team: Team, ref: BundleRef) -> dict[ComponentKind, str]:
    from services.store import lookups
    from services.store.lookups import components_of

    with team.store.reading() as session:
        bundle = lookups.bundle(session, ref)
        assert bundle.id is not None
        return {component.kind: component.digest for component in components_of(session, bundle.id)}


def test_a_leak_and_a_lost_variable_are_stopped_in_staging(team: Team, workshop: example.Workshop) -> None:
    # given a month whose data has a column nobody declared
    workshop.write_notice()
    workshop.train(extra={"departure_delay": 3.0})
    leaky = team.sync()
    # then the schema gate stops it
    promotion, phase = team.promote(leaky, "staging")
    assert phase is Phase.BLOCKED
    # and nobody can approve it
    with pytest.raises(Conflict, match="blocked"):
        approvals.approve(team.store, promotion, actor=team.lead, clock=team.clock)

    # given a clean month, and a wording that lost a variable
    workshop.train()
    workshop.write_notice("Your flight leaves late.")
    careless = team.sync()
    # then the prompt gate stops it
    assert team.promote(careless, "staging")[1] is Phase.BLOCKED


def test_syncing_twice_makes_one_bundle(team: Team, workshop: example.Workshop) -> None:
    workshop.write_notice()
    workshop.train()
    team.sync()
    (again,) = sync.sync(team.store, team.tracking, team.settings, actor=team.maker, clock=team.clock)
    assert again.registered == ()
