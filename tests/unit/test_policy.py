"""The policy: every mistake at once, each with its key path; defaults; digests; what a new one changes."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import example
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import PolicyInvalid
from services.rules.domain import ComponentKind, Role
from services.rules.policy import difference, parse

LEAST = '[application]\nname = "a"\n\n[components]\nmodel = "m"\n'
GATE = """
[data]
target = "y"
features = ["x"]

[[stages]]
name = "one"
gates = ["good"]

[gates.good]
kind = "evaluation"
metric = "roc_auc"
min = 0.6
"""


def mistakes(text: str) -> tuple[str, ...]:
    with pytest.raises(PolicyInvalid) as caught:
        parse(text)
    return caught.value.mistakes


def test_five_mistakes_are_all_reported_at_once_each_with_its_key_path() -> None:
    text = example.POLICY
    text = text.replace("min = 0.70", "min = 1.7")
    text = text.replace('max_evidence_age = "7d"', 'max_evidence_age = "a week"')
    text = text.replace('kind = "prompt"', 'kind = "vibes"')
    text = text.replace('gates = ["accuracy"]', 'gates = ["accurracy"]')
    text = text.replace('owner = "operations"', 'owner = "operations"\nowners = "nobody"')
    found = mistakes(text)
    assert [mistake.split(": ")[0] for mistake in sorted(found)] == [
        "application.owners",
        "gates.accuracy.min",
        "gates.notice.kind",
        "stages.2.gates",
        "stages.2.max_evidence_age",
    ]
    assert "gates.accuracy.min: 1.7 is not a probability" in found
    assert "application.owners: there is no such key here" in found
    assert "stages.2.gates: there is no [gates.accurracy] in this policy" in found


def test_the_message_lists_the_mistakes_and_says_that_nothing_was_applied() -> None:
    with pytest.raises(PolicyInvalid) as caught:
        parse('[application]\nname = "a"\n')
    assert str(caught.value).splitlines() == [
        "The policy has 1 mistake:",
        "  components: name a model, or prompts, or both; a bundle needs something to deliver",
        "Nothing was applied. Correct the file and apply it again.",
    ]


def test_a_kind_of_gate_that_is_not_built_is_refused_with_those_that_are() -> None:
    (found,) = mistakes(LEAST + GATE.replace('"evaluation"', '"telepathy"'))
    assert found.startswith("gates.good.kind: 'telepathy' is not a kind of gate this version has; choose one of evalu")


def test_a_gate_without_a_kind_is_told_so() -> None:
    (found,) = mistakes(LEAST + GATE.replace('kind = "evaluation"\n', ""))
    assert found.startswith("gates.good.kind: is missing; choose one of")


@pytest.mark.parametrize(
    ("wrong", "right", "told"),
    [
        ("min = 0.6", "min = nan", "gates.good.min: nan is not a finite number"),
        ("min = 0.6", "max = 0.6", "gates.good: roc_auc needs min = a number, and no max"),
        ("min = 0.6", "min = 0.6\nmax = 0.9", "gates.good: roc_auc needs min = a number, and no max"),
        ('"roc_auc"', '"luck"', "gates.good.metric: 'luck' is not a metric Headgate computes; choose one of roc_auc"),
        ('target = "y"', "", "gates.good: needs data.target"),
        ('features = ["x"]', 'features = ["x", "x"]', "data.features: x stands there twice"),
        ('features = ["x"]', 'features = ["x", "y"]', "data.features: 'y' is the target"),
        ('name = "one"', 'name = "one"\nsoak = "-2h"', "stages.0.soak: '-2h' is not a duration"),
        ('name = "one"', 'name = "one"\nsoak = 3', "stages.0.soak: 3 is not a duration; write a number and s, m, h"),
        ('name = "one"', 'name = "one"\nsoak = "9999999999d"', "stages.0.soak: '9999999999d' is not a duration"),
        ('name = "one"', 'name = "one"\nmax_evidence_age = "0h"', "stages.0.max_evidence_age: is zero"),
        ('name = "one"', 'name = "one"\nauto = true\napprovals = 1', "stages.0.auto: a stage that asks for approvals"),
        ('name = "one"', 'name = "<b>"', "stages.0.name: '<b>' is not a name"),
        ('name = "one"', 'name = "one"\n[[stages]]\nname = "one"', "stages.1.name: 'one' is the name of an earlier"),
        ('name = "one"', 'name = "one"\napprovals = -1', "stages.0.approvals: input should be greater than or equal"),
        ('name = "one"', 'name = "one"\napprover_role = "boss"', "stages.0.approver_role: input should be 'viewer'"),
        ('gates = ["good"]', "gates = 3", "stages.0.gates: should be a list, but it is 3"),
        ('name = "one"', 'name = "none"\n[metrics]\nstage = "two"', "metrics.stage: there is no stage 'two'"),
    ],
)
def test_a_single_mistake_is_told_by_its_key_path(wrong: str, right: str, told: str) -> None:
    assert wrong in GATE
    found = mistakes(LEAST + GATE.replace(wrong, right))
    assert any(mistake.startswith(told) for mistake in found), found


def test_what_is_not_toml_is_told_with_its_line() -> None:
    (found,) = mistakes("[application\nname")
    assert found.startswith("(file): this is not TOML: ")
    assert "line 1" in found


def test_a_gate_that_judges_a_model_needs_one() -> None:
    text = LEAST.replace('model = "m"', 'prompts = ["p"]') + GATE
    assert "gates.good: judges a model, and components.model is not set" in mistakes(text)


def test_a_prompt_gate_needs_prompts_and_names_one_of_them() -> None:
    gate = '\n[gates.words]\nkind = "prompt"\nvariables = []\nprompt = "other"\n'
    assert mistakes(LEAST + gate) == ("gates.words: judges prompts, and components.prompts is not set",)
    text = LEAST.replace('model = "m"', 'prompts = ["p"]') + gate
    assert mistakes(text) == ("gates.words.prompt: 'other' is not among components.prompts (p)",)


def test_a_stage_that_wants_verified_bundles_needs_a_gate_in_the_stage_before() -> None:
    text = LEAST + GATE + '\n[[stages]]\nname = "two"\nverified = true\n'
    assert parse(text).stage("two").verified  # type: ignore[union-attr]
    shadow = text.replace("min = 0.6", 'min = 0.6\nmode = "shadow"')
    assert mistakes(shadow)[0].startswith("stages.1.verified: the stage before demands no gate that blocks")


def test_a_policy_of_five_lines_is_complete() -> None:
    policy = parse(LEAST)
    assert [stage.name for stage in policy.stages] == ["development", "staging", "production"]
    assert policy.stages[0].auto
    production = policy.stage("production")
    assert production is not None
    assert (production.approvals, production.approver_role, production.self_approval) == (1, Role.LEAD, False)
    assert production.max_evidence_age == timedelta(days=7)
    assert policy.required == (ComponentKind.MODEL,)
    assert policy.metrics.stage == "production"


def test_without_a_production_the_last_stage_counts() -> None:
    text = LEAST + '[[stages]]\nname = "try"\n\n[[stages]]\nname = "live"\n'
    assert parse(text).metrics.stage == "live"


def test_stages_know_what_lies_before_and_after_them() -> None:
    policy = parse(LEAST)
    assert policy.before("development") is None
    assert policy.before("production") == policy.stage("staging")
    assert policy.after("production") is None


def test_the_digest_is_that_of_the_rules_and_not_of_how_they_were_written() -> None:
    plain = parse(LEAST + GATE)
    commented = parse("# a comment\n" + LEAST + GATE.replace("min = 0.6", "min = 0.600  # enough\nconfidence = 0.95"))
    assert commented.digest == plain.digest
    assert parse(LEAST + GATE.replace("0.6", "0.61")).digest != plain.digest


def test_a_description_changes_nothing_that_a_gate_judges() -> None:
    plain = parse(LEAST + GATE)
    described = parse(LEAST + GATE.replace("min = 0.6", 'min = 0.6\ndescription = "Good enough to fly with."'))
    assert described.gate_digest("good") == plain.gate_digest("good")
    assert parse(LEAST + GATE.replace("0.6", "0.61")).gate_digest("good") != plain.gate_digest("good")
    other_data = parse(LEAST + GATE.replace('["x"]', '["x", "z"]'))
    assert other_data.gate_digest("good") != plain.gate_digest("good")


def test_the_difference_names_each_key_with_old_and_new_value() -> None:
    old = parse(LEAST + GATE)
    new = parse(LEAST + GATE.replace("0.6", "0.65").replace('name = "one"', 'name = "one"\nsoak = "2h"'))
    assert difference(old, new) == ["gates.good.min: 0.6 -> 0.65", "stages.one.soak: 0s -> 2h"]
    assert difference(old, old) == []


def test_the_first_policy_differs_from_nothing_in_every_key() -> None:
    lines = difference(None, parse(LEAST))
    assert "application.name: (none) -> a" in lines


VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(-5, 5), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
    ),
    max_leaves=5,
)


def toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + "}"
        case _:
            return '"' + "".join(f"\\U{ord(letter):08X}" for letter in str(value)) + '"'


@given(
    key=st.sampled_from(["application", "components", "data", "stages", "metrics", "gates"]),
    value=st.one_of(VALUES, st.lists(st.fixed_dictionaries({"name": VALUES, "gates": VALUES, "auto": VALUES}))),
)
def test_whatever_stands_in_the_file_is_answered_with_mistakes_and_never_with_a_crash(key: str, value: object) -> None:
    text = "\n".join(f"{name} = {toml(value)}" if name == key else "" for name in [key])
    if key != "application":
        text += '\napplication = {name = "a"}'
    with contextlib.suppress(PolicyInvalid):
        parse(text)
