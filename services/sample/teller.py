"""Tells the story: carries out its steps through the same commands as everybody.

Every step looks first whether it has been told already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services import clock as clocks
from services.clock import StoryClock
from services.commands import approvals, bundles, gates, promotions, rollbacks
from services.errors import HeadgateError, RegistryRefused, RegistryUnreachable
from services.rules.domain import BundleRef, Phase, SlotRef
from services.rules.policy import Policy
from services.sample import making, told
from services.sample.people import MAKER
from services.sample.story import APPLICATION, Approve, Calendar, Delivery, Promote, Reject, Retrain, RollBack
from services.settings import Settings
from services.store.database import Store
from services.work import carry, collect
from services.work.tracking import Tracking

UNDER_WAY = (Phase.REQUESTED, Phase.GATING, Phase.DEPLOYING)
# A teller that was killed leaves its leases behind; this is longer than the longest of them.
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Teller:
    """`say` is told which delivery is at hand, and in words what is being done with it."""

    settings: Settings
    store: Store
    tracking: Tracking
    policy: Policy
    calendar: Calendar
    clock: StoryClock
    say: Callable[[Delivery, str], None]

    def tell(self, delivery: Delivery) -> None:
        """One delivery, as far as it gets: what a gate stopped goes no further.

        Raises RegistryUnreachable and RegistryRefused, and HeadgateError where a gate could not judge.
        """
        bundle = self._bundle(delivery)
        for step in delivery.steps:
            self.clock.at = self.calendar.at(delivery.month, step.at)
            match step:
                case Promote():
                    phase = self._promote(delivery, step, bundle)
                case Approve() | Reject():
                    phase = self._decide(delivery, step)
                case RollBack():
                    phase = self._roll_back(delivery, step)
            if phase is Phase.BLOCKED:
                return

    def _bundle(self, delivery: Delivery) -> BundleRef:
        first = next(step for step in delivery.steps if isinstance(step, Promote))
        if known := told.standing(self.store, told.key(delivery, first)):
            return known.bundle
        self.say(delivery, "trains a model" if isinstance(delivery.makes, Retrain) else "writes a notice")
        self.clock.at = making.made_at(self.calendar, delivery)
        making.make(self.settings, self.tracking, self.calendar, delivery)
        draft = collect.candidate(self.tracking, self.policy, self.settings, "")
        assert draft is not None, "something was made just now"
        bundle = bundles.register(self.store, draft, actor=delivery.makes.by, clock=self.clock).ref
        if entered := told.entering(self.store, bundle):
            self._settled(entered)
        return bundle

    def _promote(self, delivery: Delivery, step: Promote, bundle: BundleRef) -> Phase:
        self.say(delivery, f"asks for {step.stage}, and its gates run")
        key, by = told.key(delivery, step), step.by
        asked = promotions.request(
            self.store, bundle, step.stage, actor=by, clock=self.clock, key=key, reason=step.reason
        )
        return self._settled(asked)

    def _decide(self, delivery: Delivery, step: Approve | Reject) -> Phase:
        asked = next(s for s in delivery.steps if isinstance(s, Promote) and s.stage == step.stage)
        standing = told.standing(self.store, told.key(delivery, asked))
        assert standing is not None, "steps are told in their order"
        if standing.phase is Phase.AWAITING_APPROVAL:
            self.say(delivery, f"waits for {step.by.shown}")
            decide = approvals.approve if isinstance(step, Approve) else approvals.reject
            decide(self.store, standing.id, actor=step.by, clock=self.clock, comment=step.comment)
        return self._settled(standing.id)

    def _roll_back(self, delivery: Delivery, step: RollBack) -> Phase:
        self.say(delivery, f"is rolled back by {step.by.shown}")
        slot, key = SlotRef(APPLICATION, step.stage), told.key(delivery, step)
        asked = rollbacks.roll_back(self.store, slot, actor=step.by, clock=self.clock, reason=step.reason, key=key)
        return self._carried_out(asked)

    def _settled(self, promotion_id: int) -> Phase:
        """Carry out what is left of a promotion. Where nothing but trouble blocks it, those gates run once more."""
        phase = self._carried_out(promotion_id)
        if phase is not Phase.BLOCKED or not (errored := told.only_errored(self.store, promotion_id)):
            return phase
        asked, names = told.promotion(self.store, promotion_id), [run.gate for run in errored]
        gates.request(self.store, asked.bundle, asked.stage, actor=MAKER, clock=self.clock, gates=names)
        phase = self._carried_out(promotion_id)
        if phase is Phase.BLOCKED and (errored := told.only_errored(self.store, promotion_id)):
            raise HeadgateError(
                f"The gate {errored[0].gate!r} of the sample could not judge: {errored[0].summary}",
                "Put right what it names and build the sample again: it goes on where it stopped.",
            )
        return phase

    def _carried_out(self, promotion_id: int) -> Phase:
        patience = clocks.monotonic() + PATIENCE_SECONDS
        while (phase := self._carry_on(promotion_id)) in UNDER_WAY and clocks.monotonic() < patience:
            clocks.sleep(0.5)
        if phase in UNDER_WAY:
            raise RegistryUnreachable(
                f"The sample's promotion {promotion_id} is still {phase.value}: MLflow does not answer, or another "
                "process holds it.",
                "Build the sample again when it does: it goes on where it stopped.",
            )
        if phase is Phase.FAILED:
            note = told.promotion(self.store, promotion_id).note
            raise RegistryRefused(
                f"MLflow refused the sample's promotion {promotion_id}: {note}",
                "Put right what it names, or build the sample in a new HEADGATE_HOME.",
            )
        return phase

    def _carry_on(self, promotion_id: int) -> Phase:
        return carry.carry_out(self.store, self.tracking, self.settings, promotion_id, clock=self.clock)
