"""A small application for the tests: a model, two data sets and a prompt, in a real MLflow, in under a second."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from services.clock import Clock
from services.commands import bundles, people, policies
from services.commands.bundles import Registered
from services.rules.domain import Component, ComponentKind, Person
from services.rules.drafts import BundleDraft
from services.rules.policy import parse
from services.settings import Settings
from services.store.database import Store

FEATURES = ["hour", "wind"]
LATE = datetime(2026, 3, 1, tzinfo=UTC)

POLICY = """
[application]
name = "delays"
owner = "operations"

[components]
model = "delays"
prompts = ["notice"]

[data]
target = "late"
features = ["hour", "wind"]

[[stages]]
name = "development"
auto = true

[[stages]]
name = "staging"
gates = ["schema", "accuracy", "notice"]

[[stages]]
name = "production"
gates = ["accuracy"]
approvals = 1
max_evidence_age = "7d"

[gates.schema]
kind = "schema"
extra = "fail"

[gates.accuracy]
kind = "evaluation"
metric = "roc_auc"
min = 0.70

[gates.notice]
kind = "prompt"
variables = ["airline", "minutes"]
"""
NOTICE = "Your flight with {{airline}} leaves {{minutes}} minutes late."


def frame(rows: int = 600, seed: int = 7, skill: float = 1.5) -> pd.DataFrame:
    """Rows in which wind makes flights late. A smaller `skill` makes it harder to tell."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame({"hour": random.integers(0, 24, rows).astype(float), "wind": random.normal(size=rows)})
    table["late"] = (skill * table.wind + random.logistic(size=rows) > 0.5).astype(int)
    return table


@dataclass
class Workshop:
    """Logs trainings and prompts into the real MLflow of `settings`, each a little later than the one before."""

    settings: Settings
    tracking: Any
    folder: Path
    made: int = 0

    def train(
        self, *, seed: int = 7, extra: dict[str, Any] | None = None, metrics: dict[str, float] | None = None
    ) -> Any:
        from services.work.tracking import DatasetToLog, TrainingRecord, record_training

        self.made += 1
        train, held_out = frame(seed=seed), frame(rows=1500, seed=seed + 1)
        for name, values in (extra or {}).items():
            train[name], held_out[name] = values, values
        self.folder.mkdir(parents=True, exist_ok=True)
        paths = [self.folder / f"{part}-{self.made}.parquet" for part in ("train", "held-out")]
        train.to_parquet(paths[0])
        held_out.to_parquet(paths[1])
        ended = LATE + timedelta(minutes=self.made)
        return record_training(
            self.tracking,
            TrainingRecord(
                experiment="delays",
                model_name="delays",
                estimator=LogisticRegression().fit(train[FEATURES], train["late"]),
                inputs=train[FEATURES],
                params={"seed": str(seed)},
                metrics=metrics or {"roc_auc": 0.8},
                datasets=(
                    DatasetToLog(f"train-{self.made}", "training", paths[0], train),
                    DatasetToLog(f"held-out-{self.made}", "evaluation", paths[1], held_out),
                ),
                started_at=ended - timedelta(minutes=1),
                ended_at=ended,
                registered_at=ended,
                tags={"headgate.data_cutoff": "2026-02-28"},
                user="mia",
            ),
        )

    def write_notice(self, template: str = NOTICE) -> Any:
        from services.work.tracking import register_prompt

        return register_prompt(self.tracking, "notice", template)


def apply(store: Store, actor: Person, clock: Clock, *others: Person, text: str = POLICY) -> None:
    for person in (actor, *others):
        people.meet(store, person, clock=clock)
    policies.apply(store, text, actor=actor, clock=clock)


def draft(version: int = 1, *, application: str = "delays", template: str = NOTICE, maker: str = "mia") -> BundleDraft:
    """A bundle as MLflow would give it, for tests that need none of MLflow."""
    wording = "1" if template == NOTICE else "2"
    components = (
        Component(
            ComponentKind.MODEL, application, str(version), f"models:/{application}/{version}", f"sha256:m{version}"
        ),
        Component(
            ComponentKind.DATASET,
            f"train-{version}",
            "",
            "",
            f"sha256:d{version}",
            {"context": "training", "rows": 600},
        ),
        Component(
            ComponentKind.PROMPT,
            "notice",
            wording,
            f"prompts:/notice/{wording}",
            f"sha256:p{wording}",
            {"template": template},
        ),
    )
    return BundleDraft(
        application=application,
        components=components,
        metrics={"roc_auc": 0.8},
        training_ended_at=LATE,
        maker=maker,
        source="added",
    )


def register(store: Store, actor: Person, clock: Clock, version: int = 1, **kwargs: Any) -> Registered:
    return bundles.register(store, draft(version, **kwargs), actor=actor, clock=clock)


def policy() -> Any:
    return parse(POLICY)
