"""What differs between two bundles: component by component, changed first."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from services.rules.digests import short
from services.rules.domain import Component, ComponentKind

KIND_ORDER = tuple(ComponentKind)
COUNTED = (ComponentKind.MODEL, ComponentKind.PROMPT, ComponentKind.ENVIRONMENT)
# Shown as a text difference, line by line.
TEXTS = ("template", "requirements")
# Kept with the component, and nothing a person compares.
FOR_MACHINES = ("signature", "source", "model_id", "mlflow_digest", "flavors")
WORDS = re.compile(r"\n|\S+")
NAMES = {"cutoff": "data up to", "size_bytes": "size", "run_id": "run"}


class Change(StrEnum):
    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Detail:
    """One fact of a component, before and after. Empty where it did not exist."""

    name: str
    old: str
    new: str

    @property
    def changed(self) -> bool:
        return self.old != self.new


@dataclass(frozen=True)
class ComponentDifference:
    """`text` is a unified diff, for prompts and requirements; `details` holds every known fact, changed ones first."""

    kind: ComponentKind
    name: str
    change: Change
    old: Component | None
    new: Component | None
    details: tuple[Detail, ...] = ()
    text: tuple[str, ...] = ()


@dataclass(frozen=True)
class MetricPair:
    name: str
    old: float | None
    new: float | None


@dataclass(frozen=True)
class Difference:
    components: tuple[ComponentDifference, ...]
    metrics: tuple[MetricPair, ...] = ()

    @property
    def changed(self) -> tuple[ComponentDifference, ...]:
        return tuple(part for part in self.components if part.change is not Change.UNCHANGED)

    @property
    def causes(self) -> tuple[str, ...]:
        """What may each have made a difference by itself. A model brings its data and its code with it."""
        model = [part for part in self.changed if part.kind is ComponentKind.MODEL]
        carried = (ComponentKind.DATASET, ComponentKind.CODE) if model else ()
        return tuple(
            dict.fromkeys(
                _cause(part)
                for part in self.changed
                if part.kind not in carried and not (part.kind is ComponentKind.DATASET and not _is_trained_on(part))
            )
        )

    @property
    def unchanged(self) -> tuple[ComponentDifference, ...]:
        return tuple(part for part in self.components if part.change is Change.UNCHANGED)


def difference(
    old: Iterable[Component],
    new: Iterable[Component],
    old_metrics: Mapping[str, float] | None = None,
    new_metrics: Mapping[str, float] | None = None,
) -> Difference:
    """From `old` to `new`. With no old bundle, everything is added."""
    before = {(c.kind, c.name): c for c in old}
    after = {(c.kind, c.name): c for c in new}
    parts = [_compare(before.get(key), after.get(key)) for key in before.keys() | after.keys()]
    parts.sort(key=lambda p: (p.change is Change.UNCHANGED, KIND_ORDER.index(p.kind), p.name))
    was, now = old_metrics or {}, new_metrics or {}
    metrics = [MetricPair(name, was.get(name), now.get(name)) for name in sorted(was.keys() | now.keys())]
    return Difference(tuple(parts), tuple(metrics))


def _cause(part: ComponentDifference) -> str:
    known = part.new or part.old
    assert known is not None
    return f"prompt {part.name}" if part.kind is ComponentKind.PROMPT else called(known)


def _is_trained_on(part: ComponentDifference) -> bool:
    """What a model is only judged on changes nothing of what it does."""
    known = part.new or part.old
    return known is not None and known.details.get("context") != "evaluation"


@dataclass(frozen=True)
class Piece:
    """A stretch of a text, and whether the other text has another one in its place."""

    text: str
    changed: bool


def side_by_side(old: str, new: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Both texts word by word, so that what was replaced can be marked in each. Line breaks are words."""
    was, now = WORDS.findall(old), WORDS.findall(new)
    left, right = [], []
    for tag, i, j, k, m in difflib.SequenceMatcher(None, was, now, autojunk=False).get_opcodes():
        if i < j:
            left.append(Piece(_joined(was[i:j]), tag != "equal"))
        if k < m:
            right.append(Piece(_joined(now[k:m]), tag != "equal"))
    return tuple(left), tuple(right)


def _joined(words: list[str]) -> str:
    return " ".join(words).replace(" \n ", "\n").replace(" \n", "\n").replace("\n ", "\n")


def text_of(component: Component | None) -> str:
    """A prompt's wording, a list of requirements; empty where there is none."""
    return "\n".join(next((lines for key in TEXTS if (lines := _lines(component, key))), []))


def changed_words(found: Difference) -> list[str]:
    """What changed, a few words each: `model 3 → 4`, `new dataset flights`."""
    return [_words(part) for part in found.changed]


def _words(part: ComponentDifference) -> str:
    kind = part.kind.value
    if part.change is Change.ADDED:
        return f"new {kind} {part.name}"
    if part.change is Change.REMOVED:
        return f"without {kind} {part.name}"
    assert part.old is not None
    assert part.new is not None
    if part.kind in COUNTED and part.old.version != part.new.version:
        return f"{kind} {part.old.version} → {part.new.version}"
    return called(part.new)


def called(component: Component) -> str:
    """What people call it: `model`, `training data`, `code`."""
    context = str(component.details.get("context") or "")
    return f"{context} data" if component.kind is ComponentKind.DATASET and context else component.kind.value


def version_of(component: Component) -> str:
    """A number where versions are counted; of a commit, the first digits are enough to tell it apart.

    A dataset has no version of its own, only digests.
    """
    if component.kind is ComponentKind.DATASET:
        return ""
    return component.version[:8] if component.kind is ComponentKind.CODE else component.version


def _compare(old: Component | None, new: Component | None) -> ComponentDifference:
    known = new or old
    assert known is not None
    if old is None or new is None:
        change = Change.ADDED if old is None else Change.REMOVED
    else:
        change = Change.UNCHANGED if _identity(old) == _identity(new) else Change.CHANGED
    details = _details(old, new)
    text = _text_diff(old, new) if change is not Change.UNCHANGED else ()
    return ComponentDifference(known.kind, known.name, change, old, new, details, text)


def _identity(component: Component) -> tuple[str, str, str]:
    return component.version, component.uri, component.digest


def _details(old: Component | None, new: Component | None) -> tuple[Detail, ...]:
    before, after = facts_of(old), facts_of(new)
    details = [Detail(name, before.get(name, ""), after.get(name, "")) for name in {**before, **after}]
    if old and new:
        details += _columns_that_differ(old, new)
    return tuple(sorted(details, key=lambda detail: not detail.changed))


def _columns_that_differ(old: Component, new: Component) -> list[Detail]:
    was, now = _columns(old), _columns(new)
    changed = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    return [Detail(f"column {name}", was.get(name, "(none)"), now.get(name, "(none)")) for name in changed]


def _columns(component: Component) -> dict[str, str]:
    value = component.details.get("columns")
    return {str(name): str(kind) for name, kind in value.items()} if isinstance(value, Mapping) else {}


def facts_of(component: Component | None) -> dict[str, str]:
    """What people compare by eye, by its name: version, digest, and the details that are short enough to read."""
    if component is None:
        return {}
    facts = {"version": version_of(component), "digest": short(component.digest)}
    for name, value in component.details.items():
        if name not in (*TEXTS, *FOR_MACHINES) and (shown := _shown(name, value)):
            facts[NAMES.get(name, name.replace("_", " "))] = shown
    return {name: value for name, value in facts.items() if value}


def _shown(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "run_id":
        return str(value or "")[:8]
    if name == "size_bytes" and isinstance(value, int):
        return f"{value / 1e6:.1f} MB" if value >= 1e5 else f"{value / 1e3:.1f} kB"
    if isinstance(value, int | float):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return f"{len(value):,}" if value else ""
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    return "" if value is None else str(value)


def _text_diff(old: Component | None, new: Component | None) -> tuple[str, ...]:
    for key in TEXTS:
        was, now = _lines(old, key), _lines(new, key)
        if was != now:
            return tuple(difflib.unified_diff(was, now, lineterm="", n=2))[2:]  # without the two names of files
    return ()


def _lines(component: Component | None, key: str) -> list[str]:
    value = component.details.get(key) if component else None
    return [str(line) for line in value] if isinstance(value, list) else str(value or "").splitlines()
