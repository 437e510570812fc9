"""The sample's models: will this flight leave late, and how long will it be in the air? Trained for real, on one
thread, the same every time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from services.sample.data import CATEGORIES, SEED, Recipe, Split

PARAMETERS: dict[str, Any] = {"max_iter": 120, "learning_rate": 0.08, "early_stopping": False, "random_state": SEED}


@dataclass(frozen=True)
class Trained:
    """A fitted pipeline, with what its run logs: parameters, and metrics on the held-out rows."""

    model: Pipeline
    parameters: dict[str, Any]
    metrics: dict[str, float]


def train(recipe: Recipe, split: Split) -> Trained:
    """Fit on what was known, measure on what was held out."""
    columns, target = list(recipe.columns), recipe.task.target
    with threadpool_limits(limits=1):  # sums over several threads differ from one run to the next
        model = _pipeline(recipe.task.classifies).fit(split.training[columns], split.training[target])
        measure = _of_chances if recipe.task.classifies else _of_minutes
        metrics = measure(model, split.evaluation[columns], split.evaluation[target])
    described = {"training_rows": len(split.training), "evaluation_rows": len(split.evaluation)}
    return Trained(model, {"algorithm": "gradient boosting", **PARAMETERS, **described}, metrics)


def _pipeline(classifies: bool) -> Pipeline:
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    prepare = ColumnTransformer([("categories", encode, list(CATEGORIES))], remainder="passthrough")
    boosting = HistGradientBoostingClassifier if classifies else HistGradientBoostingRegressor
    return Pipeline([("prepare", prepare), ("boost", boosting(**PARAMETERS))])


def _of_chances(model: Pipeline, rows: pd.DataFrame, late: pd.Series) -> dict[str, float]:
    chance = model.predict_proba(rows)[:, 1]
    return {
        "roc_auc": float(roc_auc_score(late, chance)),
        "average_precision": float(average_precision_score(late, chance)),
        "brier": float(brier_score_loss(late, chance)),
    }


def _of_minutes(model: Pipeline, rows: pd.DataFrame, minutes: pd.Series) -> dict[str, float]:
    predicted = model.predict(rows)
    return {
        "mae": float(mean_absolute_error(minutes, predicted)),
        "rmse": float(root_mean_squared_error(minutes, predicted)),
        "r2": float(r2_score(minutes, predicted)),
    }
