"""What can be wrong with a policy, in sentences that begin with the key path.

Works on the raw file, so that one mistake hides no other: it must take whatever TOML can hold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

Raw = dict[str, Any]


def unbuilt_kinds(raw: Raw, built: Sequence[str]) -> list[str]:
    """Gates of a kind that this version does not have, or of none."""
    found = []
    for name, gate in _table(raw, "gates").items():
        kind = gate.get("kind") if isinstance(gate, dict) else None
        if kind is None or kind not in built:
            said = "is missing" if kind is None else f"{shown(kind)} is not a kind of gate this version has"
            found.append(f"gates.{name}.kind: {said}; choose one of {', '.join(built)}")
    return found


def in_words(error: Any, kinds: Sequence[str]) -> str:
    """pydantic's error as one line; empty where `unbuilt_kinds` says it better."""
    kind, location = error["type"], list(error["loc"])
    if kind.startswith("union_tag"):
        return ""
    if location[:1] == ["gates"] and len(location) > 2 and location[2] in kinds:
        del location[2]  # the union's tag is not a key of the file
    path = ".".join(str(part) for part in location) or "(file)"
    return f"{path}: {_said(kind, error)}"


def _said(kind: str, error: Any) -> str:
    match kind:
        case "extra_forbidden":
            return "there is no such key here"
        case "missing":
            return "is missing"
        case "value_error":
            return str(error["ctx"]["error"])
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"should be a table, but it is {shown(error['input'])}"
        case "tuple_type":
            return f"should be a list, but it is {shown(error['input'])}"
        case "finite_number":
            return f"{error['input']} is not a finite number"
        case _:
            return f"{error['msg'][0].lower()}{error['msg'][1:]}, but it is {shown(error['input'])}"


def shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"


def untold(found: Collection[str], already: Collection[str]) -> list[str]:
    """Those of a key path about which nothing is said yet: one mistake, one sentence."""
    paths = {mistake.split(": ")[0] for mistake in already}
    return [mistake for mistake in found if mistake and mistake.split(": ")[0] not in paths]


def loose_ends(raw: Raw, default_stages: Sequence[str]) -> list[str]:
    """What only shows when several keys are read together."""
    return [*_of_stages(raw, default_stages), *_of_metrics(raw, default_stages), *_of_components(raw), *_of_gates(raw)]


def _table(raw: Raw, key: str) -> Raw:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _tables(raw: Raw, key: str) -> list[Raw]:
    value = raw.get(key)
    return [part if isinstance(part, dict) else {} for part in value] if isinstance(value, list) else []


def _names(raw: Raw, key: str) -> list[str]:
    """A list of names; whatever else stands there is pydantic's to report."""
    value = raw.get(key)
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _stage_names(raw: Raw, default_stages: Sequence[str]) -> list[Any]:
    return [stage.get("name") for stage in _tables(raw, "stages")] if "stages" in raw else list(default_stages)


def _of_stages(raw: Raw, default_stages: Sequence[str]) -> Iterator[str]:
    names, gates = _stage_names(raw, default_stages), _table(raw, "gates")
    if not names and raw.get("stages") == []:
        yield "stages: is empty; leave it out for development, staging and production"
    before: Raw | None = None
    for index, stage in enumerate(_tables(raw, "stages")):
        if names[index] is not None and names.index(names[index]) != index:
            yield f"stages.{index}.name: {shown(names[index])} is the name of an earlier stage"
        for gate in _names(stage, "gates"):
            if gate not in gates:
                yield f"stages.{index}.gates: there is no [gates.{gate}] in this policy"
        if stage.get("auto") and stage.get("approvals"):
            yield f"stages.{index}.auto: a stage that asks for approvals cannot be entered automatically"
        if stage.get("verified") and before is not None and not _enforcing(before, gates):
            yield (
                f"stages.{index}.verified: the stage before demands no gate that blocks, so no bundle could ever be "
                f"verified there; give it one, or write verified = false"
            )
        before = stage


def _enforcing(stage: Raw, gates: Raw) -> list[str]:
    return [name for name in _names(stage, "gates") if _table(gates, name).get("mode") != "shadow"]


def _of_metrics(raw: Raw, default_stages: Sequence[str]) -> Iterator[str]:
    stage = _table(raw, "metrics").get("stage")
    if stage is not None and stage not in _stage_names(raw, default_stages):
        yield f"metrics.stage: there is no stage {shown(stage)} in this policy"


def _of_components(raw: Raw) -> Iterator[str]:
    components, data = _table(raw, "components"), _table(raw, "data")
    if not components.get("model") and not components.get("prompts"):
        yield "components: name a model, or prompts, or both; a bundle needs something to deliver"
    if data.get("target") in _names(data, "features"):
        yield f"data.features: {shown(data['target'])} is the target; a model that is given it has nothing to predict"


def _of_gates(raw: Raw) -> Iterator[str]:
    for name, gate in _table(raw, "gates").items():
        match gate:
            case {"kind": "prompt"}:
                yield from _of_prompt_gate(raw, name, gate)
            case {"kind": "evaluation" | "baseline" | "schema"} if gate.get("source") != "run":
                yield from _of_data_gate(raw, name)


def _of_data_gate(raw: Raw, name: str) -> Iterator[str]:
    data = _table(raw, "data")
    missing = [key for key in ("target", "features") if not data.get(key)]
    if not _table(raw, "components").get("model"):
        yield f"gates.{name}: judges a model, and components.model is not set"
    elif missing:
        yield f"gates.{name}: needs data.{' and data.'.join(missing)}"


def _of_prompt_gate(raw: Raw, name: str, gate: Raw) -> Iterator[str]:
    prompts = _names(_table(raw, "components"), "prompts")
    if not prompts:
        yield f"gates.{name}: judges prompts, and components.prompts is not set"
    elif gate.get("prompt") and gate["prompt"] not in prompts:
        yield f"gates.{name}.prompt: {shown(gate['prompt'])} is not among components.prompts ({', '.join(prompts)})"
