"""Errors: what a CI job and a person learn from them."""

from __future__ import annotations

import inspect
import pickle

import pytest

from services import errors
from services.errors import ConditionsNotMet, HeadgateError, PolicyInvalid, StaleEvidence
from services.rules.domain import Condition

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, HeadgateError)]
MADE: list[HeadgateError] = [
    PolicyInvalid(["gates.a.min: 1.7 is not a probability", "stages: is empty"]),
    ConditionsNotMet("It cannot go.", [Condition("hold", False, "Held.", "Lift it.")]),
    StaleEvidence("It changed.", ["what is live is now nothing"], "Look again."),
    *[kind("It broke.", "Mend it.") for kind in KINDS if kind not in (PolicyInvalid, ConditionsNotMet, StaleEvidence)],
]


def test_exit_codes_tell_bad_input_from_no_and_no_from_unreachable() -> None:
    codes = {kind.__name__: kind.exit_code for kind in KINDS}
    assert codes == {
        "HeadgateError": 1,
        "BadInput": 2,
        "NotFound": 2,
        "PolicyInvalid": 2,
        "Refused": 3,
        "ConditionsNotMet": 3,
        "GateSaidNo": 3,
        "Conflict": 3,
        "StaleEvidence": 3,
        "NotAllowed": 3,
        "Unreachable": 4,
        "RegistryUnreachable": 4,
        "StoreUnreachable": 4,
        "StoreUnusable": 1,
        "RegistryRefused": 1,
        "ArtifactUnusable": 1,
        "Fenced": 1,
    }


def test_the_tree_at_the_top_of_the_module_names_every_error_with_its_code() -> None:
    drawn = errors.__doc__ or ""
    for kind in KINDS:
        assert f"{kind.__name__} " in drawn or f"{kind.__name__}\n" in drawn, kind


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_errors_survive_the_pipe_from_a_child_process(error: HeadgateError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.message, again.remedy, again.args) == (
        str(error),
        error.message,
        error.remedy,
        error.args,
    )
    assert vars(again) == vars(error)


def test_an_error_reads_as_what_happened_and_what_to_do_next() -> None:
    assert str(HeadgateError("It broke.", "Mend it.")) == "It broke. Mend it."
    assert str(HeadgateError("It broke.")) == "It broke."


def test_conditions_that_are_not_met_are_listed_with_their_remedies() -> None:
    error = ConditionsNotMet("It cannot go.", [Condition("hold", False, "Held.", "Lift it.")])
    assert str(error).splitlines() == ["It cannot go.", "  hold: Held. Lift it."]
