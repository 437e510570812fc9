"""References, phases and digests."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import BadInput
from services.rules import digests
from services.rules.domain import (
    ACTIVE_PHASES,
    OPEN_PHASES,
    BundleRef,
    Component,
    ComponentKind,
    Person,
    Phase,
    Role,
    SlotRef,
)

MODEL = Component(ComponentKind.MODEL, "delays", "3", "models:/delays/3", "sha256:m")
PROMPT = Component(ComponentKind.PROMPT, "notice", "1", "prompts:/notice/1", "sha256:p")


def test_references_read_as_they_are_written() -> None:
    assert BundleRef.parse(" flight-delay/12 ") == BundleRef("flight-delay", 12)
    assert str(BundleRef("flight-delay", 12)) == "flight-delay/12"
    assert SlotRef.parse("flight-delay@production") == SlotRef("flight-delay", "production")
    assert str(SlotRef("a", "b")) == "a@b"


@pytest.mark.parametrize("text", ["", "flight-delay", "flight-delay/", "flight-delay/0", "/3", "a/-1", "a/x", "a/01"])
def test_what_is_not_a_bundle_is_bad_input_and_says_how_one_is_written(text: str) -> None:
    with pytest.raises(BadInput, match="is not a bundle") as caught:
        BundleRef.parse(text)
    assert "flight-delay/12" in caught.value.remedy


@pytest.mark.parametrize("text", ["", "a", "@", "a@", "@b"])
def test_what_is_not_a_stage_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput, match="is not a stage"):
        SlotRef.parse(text)


def test_active_phases_hold_the_slot_and_blocked_does_not() -> None:
    assert {phase for phase in Phase if phase.active} == set(ACTIVE_PHASES)
    assert not Phase.BLOCKED.active
    assert Phase.BLOCKED in OPEN_PHASES
    assert Phase.DEPLOYING not in OPEN_PHASES


def test_a_person_has_a_role_or_one_of_several() -> None:
    lou = Person("lou", frozenset({Role.LEAD}))
    assert lou.has(Role.LEAD)
    assert lou.has(Role.ADMIN, Role.LEAD)
    assert not lou.has(Role.VIEWER)
    assert lou.shown == "lou"


def test_the_same_components_in_any_order_are_the_same_bundle() -> None:
    assert digests.bundle_digest("a", [MODEL, PROMPT]) == digests.bundle_digest("a", [PROMPT, MODEL])


@pytest.mark.parametrize("change", ["kind", "name", "version", "uri", "digest"])
def test_each_pinned_field_makes_another_bundle_and_details_do_not(change: str) -> None:
    values = {"kind": MODEL.kind, "name": MODEL.name, "version": "3", "uri": MODEL.uri, "digest": MODEL.digest}
    same = Component(**values, details={"rows": 5})  # type: ignore[arg-type]
    other = Component(**{**values, change: ComponentKind.CODE if change == "kind" else "x"})  # type: ignore[arg-type]
    assert digests.bundle_digest("a", [same]) == digests.bundle_digest("a", [MODEL])
    assert digests.bundle_digest("a", [other]) != digests.bundle_digest("a", [MODEL])
    assert digests.bundle_digest("b", [MODEL]) != digests.bundle_digest("a", [MODEL])


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON))
def test_the_order_of_keys_changes_no_digest(value: dict[str, object]) -> None:
    assert digests.digest(dict(reversed(value.items()))) == digests.digest(value)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_what_json_cannot_say_has_no_digest(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        digests.digest({"x": number})


def test_a_short_digest_is_twelve_digits() -> None:
    full = digests.digest({})
    assert full.startswith("sha256:")
    assert len(full) == 71
    assert digests.short(full) == full[7:19]
