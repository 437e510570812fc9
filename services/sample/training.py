"""The sample's model: will this flight leave late? Trained for real, on one thread, the same every time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from services.sample.data import CATEGORIES, SEED, TARGET, Recipe, Split

PARAMETERS: dict[str, Any] = {"max_iter": 120, "learning_rate": 0.08, "early_stopping": False, "random_state": SEED}


@dataclass(frozen=True)
class Trained:
    """A fitted pipeline, with what its run logs: parameters, and metrics on the held-out month."""

    model: Pipeline
    parameters: dict[str, Any]
    metrics: dict[str, float]


def train(recipe: Recipe, split: Split) -> Trained:
    """Fit on the known months, measure on the held-out one."""
    columns = list(recipe.columns)
    with threadpool_limits(limits=1):  # sums over several threads differ from one run to the next
        model = _pipeline().fit(split.training[columns], split.training[TARGET])
        late, chance = split.evaluation[TARGET], model.predict_proba(split.evaluation[columns])[:, 1]
    metrics = {
        "roc_auc": float(roc_auc_score(late, chance)),
        "average_precision": float(average_precision_score(late, chance)),
        "brier": float(brier_score_loss(late, chance)),
    }
    described = {"training_rows": len(split.training), "evaluation_rows": len(split.evaluation)}
    return Trained(model, {"algorithm": "gradient boosting", **PARAMETERS, **described}, metrics)


def _pipeline() -> Pipeline:
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    prepare = ColumnTransformer([("categories", encode, list(CATEGORIES))], remainder="passthrough")
    return Pipeline([("prepare", prepare), ("boost", HistGradientBoostingClassifier(**PARAMETERS))])
