r"""Settings from the environment, each with its default. Nothing is read anywhere else.

| variable               | default                          | meaning |
|------------------------|----------------------------------|---------|
| HEADGATE_HOME          | .headgate                        | holds everything embedded: store, MLflow, queue |
| HEADGATE_DATABASE_URL  | SQLite in the home               | the lineage store; a postgresql:// address for a team |
| MLFLOW_TRACKING_URI    | SQLite and files in the home     | the tracking server |
| HEADGATE_ZONE          | UTC                              | the reporting time zone |
| HEADGATE_MAKERS        | (none)                           | `mlflow user=person, ...`: who made a bundle |
| HEADGATE_ROLES         | viewer=*                         | roles by group, at a login: `lead=a,maker=b\|c,viewer=*` |
| HEADGATE_GATE_SECONDS  | 300                              | time limit of one gate run |
| HEADGATE_GATE_MEMORY   | 4096                             | memory limit of one gate run, in MiB |
| HEADGATE_TRUSTED_TYPES | (none)                           | further types that a skops model may hold, with commas |
| HEADGATE_SYNC_SECONDS  | 60                               | how often the worker looks for new bundles |
| HEADGATE_WORKER        | beside                           | `off`: the dashboard starts no worker of its own |
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path

from services.errors import BadInput

ROLES = ("viewer", "maker", "lead", "admin")


@dataclass(frozen=True)
class Settings:
    home: Path
    database_url: str
    tracking_uri: str
    zone: str = "UTC"
    makers: dict[str, str] = field(default_factory=dict)
    roles: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"viewer": ("*",)})
    gate_seconds: float = 300.0
    gate_memory_mib: int = 4096
    trusted_types: tuple[str, ...] = ()
    sync_seconds: float = 60.0
    starts_worker: bool = True

    @property
    def embedded_store(self) -> bool:
        return self.database_url.startswith("sqlite")

    @property
    def embedded_tracking(self) -> bool:
        return self.tracking_uri == _embedded_tracking_uri(self.home)

    @property
    def artifact_root(self) -> Path:
        """Where the embedded MLflow keeps its files."""
        return self.home / "mlartifacts"


def load(environ: dict[str, str] | None = None) -> Settings:
    """Read the settings. Raises BadInput for a value that cannot be meant."""
    env = os.environ if environ is None else environ
    home = Path(env.get("HEADGATE_HOME") or ".headgate").expanduser().resolve()
    return Settings(
        home=home,
        database_url=_database_url(env.get("HEADGATE_DATABASE_URL") or f"sqlite:///{home / 'headgate.db'}"),
        tracking_uri=_absolute(env.get("MLFLOW_TRACKING_URI") or _embedded_tracking_uri(home)),
        zone=env.get("HEADGATE_ZONE") or "UTC",
        makers=_makers(env.get("HEADGATE_MAKERS") or ""),
        roles=_roles(env.get("HEADGATE_ROLES") or "viewer=*"),
        gate_seconds=_number(env, "HEADGATE_GATE_SECONDS", 300.0),
        gate_memory_mib=int(_number(env, "HEADGATE_GATE_MEMORY", 4096)),
        trusted_types=tuple(t.strip() for t in (env.get("HEADGATE_TRUSTED_TYPES") or "").split(",") if t.strip()),
        sync_seconds=_number(env, "HEADGATE_SYNC_SECONDS", 60.0),
        starts_worker=(env.get("HEADGATE_WORKER") or "beside") != "off",
    )


def _embedded_tracking_uri(home: Path) -> str:
    return f"sqlite:///{home / 'mlflow.db'}"


def _absolute(url: str) -> str:
    """A relative SQLite file is meant from here; the worker beside the dashboard starts in another folder."""
    prefix, path = "sqlite:///", url.removeprefix("sqlite:///")
    if not url.startswith(prefix) or path in ("", ":memory:") or path.startswith("file:"):
        return url
    return f"{prefix}{Path(path).absolute()}"


def _database_url(url: str) -> str:
    """Accept the address as people write it; SQLAlchemy wants the driver named."""
    for prefix in ("postgres://", "postgresql://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    if url.startswith(("sqlite:///", "postgresql+psycopg://")):
        return _absolute(url)
    raise BadInput(
        "HEADGATE_DATABASE_URL is neither SQLite nor PostgreSQL.",
        "Write sqlite:///path/to/file or postgresql://user@host/database.",
    )


def _number(env: os._Environ[str] | dict[str, str], name: str, default: float) -> float:
    text = env.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < math.inf:
        raise BadInput(f"{name} is {text!r}, which is not a number above zero.", "Correct it or leave it out.")
    return value


def _makers(text: str) -> dict[str, str]:
    pairs = [pair.split("=", 1) for pair in text.split(",") if pair.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise BadInput("HEADGATE_MAKERS is not a list of `mlflow user=person`.", "Separate the pairs with commas.")
    return {user.strip(): person.strip() for user, person in pairs}


def _roles(text: str) -> dict[str, tuple[str, ...]]:
    """Which groups have which role; `*` is everybody who logs in."""
    found: dict[str, tuple[str, ...]] = {}
    for pair in text.split(","):
        role, equals, groups = (part.strip() for part in pair.partition("="))
        named = tuple(group.strip() for group in groups.split("|") if group.strip())
        if not equals or role not in ROLES or not named or role in found:
            raise BadInput(
                f"HEADGATE_ROLES has {pair.strip()!r}, which is not `role=group|group`.",
                f"The roles are {', '.join(ROLES)}, each at most once; separate the pairs with commas.",
            )
        found[role] = named
    return found
