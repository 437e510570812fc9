"""The prompt gate: the template's variables are exactly the declared ones, and it renders."""

from __future__ import annotations

import json

import pytest

from services.errors import BadInput
from services.rules.domain import Component, ComponentKind, Verdict
from services.work.gates import prompt
from services.work.gates.task import GateTask

DECLARED = ["airline", "flight", "minutes"]
NOTICE = "{{ airline }} flight {{flight}} will leave about {{ minutes }} minutes late."


def a_task(*templates: str, name: str = "", variables: list[str] | None = None) -> GateTask:
    prompts = tuple(
        Component(ComponentKind.PROMPT, f"notice-{index}", "2", details={"template": text})
        for index, text in enumerate(templates, 1)
    )
    definition = {"kind": "prompt", "variables": DECLARED if variables is None else variables, "prompt": name}
    return GateTask("notice", definition, "flight-delay", prompts)


def silent(_text: str) -> None:
    """Nobody watches."""


def test_a_template_with_exactly_the_declared_variables_passes_and_shows_itself_rendered():
    outcome = prompt.judge(a_task(NOTICE), silent)
    assert outcome.verdict is Verdict.PASSED
    assert outcome.summary == "notice-1/2 carries exactly the 3 declared variables and renders."
    assert outcome.evidence["rendered"] == "«airline» flight «flight» will leave about «minutes» minutes late."
    assert outcome.evidence["missing"] == outcome.evidence["undeclared"] == []


def test_a_lost_variable_fails_by_name():
    outcome = prompt.judge(a_task("{{airline}} flight {{flight}} will be late."), silent)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.evidence["missing"] == ["minutes"]
    assert "lacks 'minutes'" in outcome.summary


def test_an_undeclared_variable_fails_by_name():
    outcome = prompt.judge(a_task(NOTICE + " Gate {{ gate }}."), silent)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.evidence["undeclared"] == ["gate"]
    assert "'gate', which the policy does not declare" in outcome.summary


def test_single_braces_are_told_apart_from_a_variable():
    outcome = prompt.judge(a_task("{{airline}} flight {{flight}}: {minutes} minutes."), silent)
    assert outcome.verdict is Verdict.FAILED
    assert "write {{minutes}}" in outcome.summary


@pytest.mark.parametrize("left", ["{{ minutes", "{{ minutes | upper }}", "{{ 7 }}", "minutes }}"])
def test_braces_left_behind_fail(left: str):
    outcome = prompt.judge(a_task(f"{NOTICE} {left}"), silent)
    assert outcome.verdict is Verdict.FAILED
    assert "leaves braces behind" in outcome.summary


@pytest.mark.parametrize("template", ["", "  \n\t "])
def test_an_empty_template_fails_even_where_no_variable_is_declared(template: str):
    outcome = prompt.judge(a_task(template, variables=[]), silent)
    assert (outcome.verdict, outcome.summary) == (Verdict.FAILED, "notice-1/2 is empty.")


def test_a_template_without_variables_passes_where_none_is_declared():
    assert prompt.judge(a_task("Be brief.", variables=[]), silent).verdict is Verdict.PASSED


def test_a_chat_prompt_is_read_message_by_message_and_its_own_braces_are_no_variables():
    messages = [
        {"role": "system", "content": "You write for {{airline}}."},
        {"role": "user", "content": [{"type": "text", "text": "Flight {{flight}}, {{minutes}} minutes."}]},
    ]
    outcome = prompt.judge(a_task(json.dumps(messages, separators=(",", ":"))), silent)
    assert outcome.verdict is Verdict.PASSED
    assert outcome.evidence["rendered"].splitlines()[0] == "You write for «airline»."


def test_a_template_that_is_itself_json_is_plain_text():
    template = '{"airline": "{{airline}}", "flight": "{{flight}}", "late": {"minutes": "{{minutes}}"} }'
    assert prompt.judge(a_task(template), silent).evidence["found"] == DECLARED


def test_jinja_statements_are_inconclusive_since_this_gate_does_not_read_them():
    outcome = prompt.judge(a_task(NOTICE + "{% if late %}Sorry.{% endif %}"), silent)
    assert outcome.verdict is Verdict.INCONCLUSIVE


def test_without_a_name_every_prompt_of_the_bundle_is_judged():
    outcome = prompt.judge(a_task(NOTICE, "{{airline}} only"), silent)
    assert outcome.verdict is Verdict.FAILED
    assert "notice-2/2 lacks 'flight', 'minutes'" in outcome.summary
    assert [part["prompt"] for part in outcome.evidence["prompts"]] == ["notice-1/2", "notice-2/2"]


def test_with_a_name_only_that_prompt_is_judged():
    assert prompt.judge(a_task(NOTICE, "{{airline}} only", name="notice-1"), silent).verdict is Verdict.PASSED


def test_a_prompt_that_the_bundle_does_not_have_cannot_be_judged():
    with pytest.raises(BadInput, match="no prompt 'other'; it has 'notice-1'"):
        prompt.judge(a_task(NOTICE, name="other"), silent)
    with pytest.raises(BadInput, match="has no prompt to judge"):
        prompt.judge(a_task(), silent)


def test_names_with_markup_are_only_text():
    outcome = prompt.judge(a_task("<b>{{airline}}</b> 🛫 {{flight}} {{minutes}}"), silent)
    assert outcome.evidence["rendered"] == "<b>«airline»</b> 🛫 «flight» «minutes»"
