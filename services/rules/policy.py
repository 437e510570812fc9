"""The policy: an application's stages, gates and approvals, as one TOML file.

`parse` reports every mistake at once, each with its key path; what it returns is frozen and complete (every default
filled in), so that its digest is that of the rules in force and not of how the file happened to be written.
"""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
    model_validator,
)

from services.errors import PolicyInvalid
from services.rules import metric_names, mistakes
from services.rules.digests import digest
from services.rules.domain import ComponentKind, GateMode, Role

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def _duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)([smhdw])", value.strip()) if isinstance(value, str) else None
    if not match:
        raise ValueError(f"{mistakes.shown(value)} is not a duration; write a number and s, m, h, d or w, such as 7d")
    return timedelta(**{UNITS[match[2]]: float(match[1])})


def _written(value: timedelta) -> str:
    """As a person would write it in the file: 7d, not P7D."""
    seconds = value.total_seconds()
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size:g}{unit}"
    return f"{seconds:g}s"


def _lasting(value: timedelta) -> timedelta:
    if not value:
        raise ValueError("is zero, so nothing could ever satisfy it; write a duration such as 7d")
    return value


def _plain_name(value: object) -> object:
    if isinstance(value, str) and not NAME.fullmatch(value):
        said = mistakes.shown(value)
        raise ValueError(f"{said} is not a name; use up to 100 ASCII letters, digits, dot, dash and underscore")
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration), PlainSerializer(_written, when_used="json")]
LastingDuration = Annotated[Duration, AfterValidator(_lasting)]
Name = Annotated[str, BeforeValidator(_plain_name)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ApplicationPart(_Part):
    name: Name
    description: str = ""
    owner: str = ""


class Components(_Part):
    """Where the parts of a bundle come from, and which of them it must have."""

    model: str = ""
    prompts: tuple[str, ...] = ()
    require: tuple[ComponentKind, ...] = ()
    block_on_gaps: tuple[str, ...] = ()
    repository: str = ""


class DataSource(_Part):
    """One of: the run's dataset input of that context, or a file beside the policy."""

    input: str = ""
    path: str = ""

    @model_validator(mode="after")
    def _one(self) -> DataSource:
        if bool(self.input) == bool(self.path):
            raise ValueError('give exactly one of input = "..." and path = "..."')
        return self


class Data(_Part):
    training: DataSource = DataSource(input="training")
    evaluation: DataSource | None = DataSource(input="evaluation")
    target: str = ""
    features: tuple[str, ...] = ()

    @field_validator("features")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _distinct_names(value)


def _distinct_names(value: tuple[str, ...]) -> tuple[str, ...]:
    doubled = sorted({name for name in value if value.count(name) > 1})
    if doubled:
        raise ValueError(f"{', '.join(doubled)} stands there twice")
    return value


class _Gate(_Part):
    # Judged against what is live: the result holds only as long as that is live.
    compares_with_live: ClassVar[bool] = False

    description: str = ""
    mode: GateMode = GateMode.ENFORCE
    waivable: bool = False
    inconclusive: Literal["block", "warn"] = "block"

    @property
    def enforcing(self) -> bool:
        return self.mode is GateMode.ENFORCE


class _MeasuringGate(_Gate):
    """Computes a metric. `confidence` is one-sided."""

    metric: str
    confidence: float = Field(default=0.95, gt=0.5, lt=1)

    @field_validator("metric")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in metric_names.ALL:
            raise ValueError(
                f"{value!r} is not a metric Headgate computes; choose one of {', '.join(metric_names.ALL)}"
            )
        return value


class EvaluationGate(_MeasuringGate):
    """A metric on the held-out data against a limit. The confidence bound decides, not the point."""

    kind: Literal["evaluation"]
    min: float | None = None
    max: float | None = None
    source: Literal["data", "run"] = "data"
    accept_logged: bool = False

    @field_validator("min", "max")
    @classmethod
    def _possible(cls, value: float | None, info: Any) -> float | None:
        metric = info.data.get("metric", "")
        if value is not None and metric in metric_names.PROBABILITIES and not 0 <= value <= 1:
            raise ValueError(f"{value} is not a probability")
        return value

    @model_validator(mode="after")
    def _limit(self) -> EvaluationGate:
        wanted = "min" if self.metric in metric_names.HIGHER_IS_BETTER else "max"
        other = "max" if wanted == "min" else "min"
        if getattr(self, other) is not None or getattr(self, wanted) is None:
            raise ValueError(f"{self.metric} needs {wanted} = a number, and no {other}")
        return self


class BaselineGate(_MeasuringGate):
    """No worse than the live model by more than `margin`, in units of the metric, on the same held-out rows."""

    compares_with_live: ClassVar[bool] = True

    kind: Literal["baseline"]
    margin: float

    @field_validator("margin")
    @classmethod
    def _bearable(cls, value: float, info: Any) -> float:
        metric = info.data.get("metric", "")
        if value < 0:
            raise ValueError(f"{value} is negative; write by how much worse than live is still good enough")
        if metric in metric_names.PROBABILITIES and value >= 1:
            raise ValueError(f"{value} lets everything pass: {metric} lies between 0 and 1")
        return value


class DriftGate(_Gate):
    """The training data against that of the live bundle. Limits are shares: of the distance, and of nulls."""

    compares_with_live: ClassVar[bool] = True

    kind: Literal["drift"]
    columns: tuple[str, ...] = ()  # none named: the features and the target
    warn: float = Field(default=0.10, gt=0, le=1)
    fail: float = Field(default=0.20, gt=0, le=1)
    nulls_warn: float = Field(default=0.02, gt=0, le=1)
    nulls_fail: float = Field(default=0.10, gt=0, le=1)
    alpha: float = Field(default=0.01, gt=0, lt=0.5)

    @field_validator("columns")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _distinct_names(value)

    @field_validator("fail", "nulls_fail")
    @classmethod
    def _above_warning(cls, value: float, info: Any) -> float:
        name = "warn" if info.field_name == "fail" else "nulls_warn"
        warn = info.data.get(name)
        if warn is not None and value < warn:
            raise ValueError(f"{value} lies below {name} = {warn}; what fails would never have warned")
        return value


class SchemaGate(_Gate):
    """The training data's columns: the declared ones, of the types that the model's signature names."""

    kind: Literal["schema"]
    extra: Literal["fail", "warn"] = "warn"
    max_nulls: float = Field(default=0.10, ge=0, le=1)


class PromptGate(_Gate):
    """The template's variables are exactly the declared ones, and it renders."""

    kind: Literal["prompt"]
    variables: tuple[str, ...]
    prompt: str = ""


AnyGate = EvaluationGate | BaselineGate | SchemaGate | DriftGate | PromptGate
Gate = Annotated[AnyGate, Field(discriminator="kind")]
BUILT_KINDS = ("evaluation", "baseline", "schema", "drift", "prompt")


class Stage(_Part):
    name: Name
    auto: bool = False
    gates: tuple[str, ...] = ()
    approvals: int = Field(default=0, ge=0, le=20)
    approver_role: Role = Role.LEAD
    self_approval: bool = False
    verified: bool = False
    soak: Duration = timedelta(0)
    max_evidence_age: LastingDuration = timedelta(days=7)


class Metrics(_Part):
    stage: str = "production"
    attribution: Duration = timedelta(days=7)


DEFAULT_STAGES = (
    Stage(name="development", auto=True),
    Stage(name="staging"),
    Stage(name="production", approvals=1),
)


class Policy(_Part):
    application: ApplicationPart
    components: Components = Components()
    data: Data = Data()
    stages: tuple[Stage, ...] = DEFAULT_STAGES
    metrics: Metrics = Metrics()
    gates: dict[str, Gate] = {}

    @model_validator(mode="before")
    @classmethod
    def _measured_stage(cls, raw: Any) -> Any:
        """Without a stage of the default name, deployments to the last one are what counts."""
        if not isinstance(raw, dict) or not isinstance(raw.get("metrics", {}), dict):
            return raw
        stages = raw.get("stages")
        names = [s.get("name") for s in stages if isinstance(s, dict)] if isinstance(stages, list) else []
        if not names or "production" in names or "stage" in raw.get("metrics", {}):
            return raw
        return {**raw, "metrics": {**raw.get("metrics", {}), "stage": names[-1]}}

    @property
    def name(self) -> str:
        return self.application.name

    @property
    def digest(self) -> str:
        return digest(self.model_dump(mode="json"))

    @property
    def required(self) -> tuple[ComponentKind, ...]:
        if self.components.require:
            return self.components.require
        return (ComponentKind.MODEL,) if self.components.model else (ComponentKind.PROMPT,)

    def stage(self, name: str) -> Stage | None:
        return next((stage for stage in self.stages if stage.name == name), None)

    def before(self, name: str) -> Stage | None:
        """The stage a bundle comes through first, or None for the first one."""
        names = [stage.name for stage in self.stages]
        index = names.index(name)
        return self.stages[index - 1] if index else None

    def after(self, name: str) -> Stage | None:
        names = [stage.name for stage in self.stages]
        index = names.index(name) + 1
        return self.stages[index] if index < len(names) else None

    def gates_of(self, stage: str) -> dict[str, AnyGate]:
        found = self.stage(stage)
        return {name: self.gates[name] for name in found.gates} if found else {}

    def enforcing_gates_of(self, stage: str) -> tuple[str, ...]:
        return tuple(name for name, gate in self.gates_of(stage).items() if gate.enforcing)

    def gate_digest(self, name: str) -> str:
        """Of all that decides what this gate judges and against what: a result under another digest is not current."""
        definition = self.gates[name].model_dump(
            mode="json", exclude={"description", "mode", "waivable", "inconclusive"}
        )
        return digest({"definition": definition, "data": self.data.model_dump(mode="json")})


def parse(text: str) -> Policy:
    """Read a policy. Raises PolicyInvalid with every mistake, each beginning with its key path."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyInvalid([f"(file): this is not TOML: {error}"]) from error
    policy, found = None, mistakes.unbuilt_kinds(raw, BUILT_KINDS)
    try:
        policy = Policy.model_validate(raw)
    except ValidationError as error:
        found += mistakes.untold([mistakes.in_words(e, BUILT_KINDS) for e in error.errors()], found)
    found += mistakes.untold(mistakes.loose_ends(raw, [stage.name for stage in DEFAULT_STAGES]), found)
    if found or policy is None:
        raise PolicyInvalid(found)
    return policy


def difference(old: Policy | None, new: Policy) -> list[str]:
    """What changes, a line a key: `gates.accuracy.min: 0.6 -> 0.68`."""
    before = _flat(old.model_dump(mode="json")) if old else {}
    after = _flat(new.model_dump(mode="json"))
    lines = []
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            lines.append(f"{key}: {before.get(key, '(none)')} -> {after.get(key, '(none)')}")
    return lines


def _flat(value: Any, path: str = "") -> dict[str, str]:
    if isinstance(value, dict):
        return {k: v for key, part in value.items() for k, v in _flat(part, f"{path}.{key}".lstrip(".")).items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {k: v for part in value for k, v in _flat(part, f"{path}.{part.get('name', '')}").items()}
    return {path: ", ".join(map(str, value)) if isinstance(value, list) else str(value)}
