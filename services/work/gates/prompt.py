"""The prompt gate: a template's variables are exactly the declared ones, and it renders."""

from __future__ import annotations

import json
import re
from typing import Any

from services.errors import BadInput
from services.rules.domain import Component, ComponentKind, GateOutcome, Verdict
from services.work.gates.task import GateTask, Progress, many, quoted

# What MLflow takes for a variable, so that this gate and `PromptVersion.format` see the same ones.
VARIABLE = re.compile(r"\{\{\s*([a-zA-Z_][a-zA-Z0-9_]*(?:\.[a-zA-Z_][a-zA-Z0-9_]*)*)\s*\}\}")
STATEMENT = re.compile(r"\{%.*?%\}", re.DOTALL)


def judge(task: GateTask, progress: Progress) -> GateOutcome:
    """Judge the prompt that the gate names, or every prompt of the bundle. Raises BadInput where there is none."""
    prompts = _chosen(task)
    progress(f"reading {many(len(prompts), 'prompt')}")
    declared = [str(name) for name in task.definition.get("variables", ())]
    outcomes = [judge_template(f"{p.name}/{p.version}".rstrip("/"), _template(p), declared) for p in prompts]
    if len(outcomes) == 1:
        return outcomes[0]
    worst = next((v for v in (Verdict.FAILED, Verdict.INCONCLUSIVE) if v in {o.verdict for o in outcomes}), None)
    said = [o.summary for o in outcomes if worst is None or o.verdict is not Verdict.PASSED]
    return GateOutcome(worst or Verdict.PASSED, " ".join(said), {"prompts": [o.evidence for o in outcomes]})


def judge_template(name: str, template: str, declared: list[str]) -> GateOutcome:
    """Judge one template. `name` is what people call it; a chat prompt is the JSON text of its messages."""
    texts = _texts(template)
    found = list(dict.fromkeys(variable for text in texts for variable in VARIABLE.findall(text)))
    rendered = "\n".join(VARIABLE.sub(lambda match: f"«{match[1]}»", text) for text in texts)
    missing = [variable for variable in declared if variable not in found]
    undeclared = [variable for variable in found if variable not in declared]
    evidence: dict[str, Any] = {
        "prompt": name,
        "template": template,
        "declared": declared,
        "found": found,
        "missing": missing,
        "undeclared": undeclared,
        "rendered": rendered,
    }
    if any(STATEMENT.search(text) for text in texts):
        summary = f"{name} has Jinja statements ({{% … %}}), which this gate does not read, so it cannot say."
        return GateOutcome(Verdict.INCONCLUSIVE, summary, evidence)
    problems = _problems(texts, rendered, missing, undeclared)
    if problems:
        return GateOutcome(Verdict.FAILED, f"{name} {' and '.join(problems)}.", evidence)
    carried = (
        f"carries exactly the {many(len(found), 'declared variable')}" if found else "has no variables, as declared,"
    )
    return GateOutcome(Verdict.PASSED, f"{name} {carried} and renders.", evidence)


def _problems(texts: list[str], rendered: str, missing: list[str], undeclared: list[str]) -> list[str]:
    """What is wrong, each the end of a sentence that begins with the prompt's name."""
    if not rendered.strip():
        return ["is empty"]
    problems = []
    if missing:
        single = [
            name for name in missing if any(re.search(rf"(?<!\{{)\{{\s*{re.escape(name)}\s*\}}", t) for t in texts)
        ]
        hint = f" (single braces, as in {{{single[0]}}}, are plain text: write {{{{{single[0]}}}}})" if single else ""
        problems.append(f"lacks {quoted(missing)}{hint}")
    if undeclared:
        problems.append(f"uses {quoted(undeclared)}, which the policy does not declare")
    left = re.search(r".{0,20}(\{\{|\}\}).{0,20}", rendered)
    if left:
        problems.append(f"leaves braces behind when it is rendered: “{left[0].strip()}”")
    return problems


def _texts(template: str) -> list[str]:
    """The template's texts: one, or those of a chat prompt's messages, whose JSON has braces of its own."""
    try:
        messages = json.loads(template)
    except ValueError:
        return [template]
    if isinstance(messages, list) and messages and all(isinstance(m, dict) and "content" in m for m in messages):
        return [text for message in messages for text in _strings(message["content"])]
    return [template]


def _strings(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    if isinstance(content, dict):
        return [text for key, part in content.items() if key != "type" for text in _strings(part)]
    return [text for part in content for text in _strings(part)] if isinstance(content, list) else []


def _chosen(task: GateTask) -> tuple[Component, ...]:
    wanted = task.definition.get("prompt") or ""
    prompts = task.of_kind(ComponentKind.PROMPT)
    chosen = tuple(prompt for prompt in prompts if not wanted or prompt.name == wanted)
    if chosen:
        return chosen
    there = f"; it has {quoted([prompt.name for prompt in prompts])}" if prompts else ""
    raise BadInput(
        f"The bundle has no prompt {wanted!r}{there}." if wanted else "The bundle has no prompt to judge.",
        f"Name it in components.prompts and in gates.{task.gate}.prompt, and sync again.",
    )


def _template(prompt: Component) -> str:
    template = prompt.details.get("template")
    if not isinstance(template, str):
        raise BadInput(
            f"The text of prompt {prompt.name!r} is not in the bundle.", "Sync again to read it from MLflow."
        )
    return template
