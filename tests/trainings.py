"""A small training to record in MLflow: flights, whether they were late, and a model of that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from services.work.tracking import DatasetToLog, TrainingRecord

STORY = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64


def flight_rows() -> pd.DataFrame:
    random = np.random.default_rng(7)
    frame = pd.DataFrame({"hour": random.integers(0, 24, 300), "wind": random.normal(size=300)})
    return frame.assign(late=((frame.wind + random.normal(size=300)) > 0.5).astype(int))


def flight_training(rows: pd.DataFrame, folder: Path) -> TrainingRecord:
    path = folder / "march.parquet"
    rows.to_parquet(path)
    inputs = rows[["hour", "wind"]]
    return TrainingRecord(
        experiment="delays & notices",
        model_name="flight-delay",
        estimator=LogisticRegression().fit(inputs, rows.late),
        inputs=inputs,
        started_at=STORY,
        ended_at=STORY + timedelta(hours=1),
        registered_at=STORY + timedelta(hours=2),
        metrics={"roc_auc": 0.71},
        params={"C": 1.0},
        datasets=(DatasetToLog("flights", "training", path, rows),),
        tags={"headgate.data_cutoff": "2026-02-28"},
        user="mia",
    )
