"""Makes what a delivery brings: a model that is trained and logged in MLflow, or a new wording of the notice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from services.rules.domain import Commit
from services.sample import data
from services.sample.ahead import Ahead
from services.sample.steps import Delivery, Retrain, Reword
from services.sample.story import Calendar
from services.settings import Settings
from services.work.tracking import DatasetToLog, Tracking, TrainingRecord, record_training, register_prompt

DELIVERY_TAG = "headgate.sample"  # on a run: the delivery that it was made for


def make(
    settings: Settings,
    tracking: Tracking,
    calendar: Calendar,
    ahead: Ahead,
    delivery: Delivery,
    commits: Sequence[Commit],
) -> None:
    """See to it that it is the newest in MLflow. Does nothing where it is already.

    Raises RegistryUnreachable, RegistryRefused, and BadInput where the sample's data is not installed.
    """
    if isinstance(delivery.makes, Reword):
        prompt, registered_at = delivery.application.prompt, calendar.made_at(delivery)
        register_prompt(tracking, prompt, delivery.makes.template, registered_at=registered_at)
    elif not _is_newest(tracking, delivery):
        _train(settings, tracking, calendar, ahead, delivery, delivery.makes, commits)


def commits_of(calendar: Calendar, delivery: Delivery) -> tuple[Commit, ...]:
    """The commits that were made for this delivery."""
    return tuple(
        Commit(
            hashlib.sha1(f"{delivery.name}, commit {number}".encode()).hexdigest(), calendar.at(delivery.month, moment)
        )
        for number, moment in enumerate(delivery.makes.commits, start=1)
    )


def _is_newest(tracking: Tracking, delivery: Delivery) -> bool:
    newest = tracking.newest_version(delivery.application.name)
    if newest is None or newest.run_id is None:
        return False
    return tracking.run(newest.run_id).tags.get(DELIVERY_TAG) == delivery.name


def _train(
    settings: Settings,
    tracking: Tracking,
    calendar: Calendar,
    ahead: Ahead,
    delivery: Delivery,
    retrain: Retrain,
    commits: Sequence[Commit],
) -> None:
    begun = calendar.at(delivery.month, retrain.at)
    tables, trained = ahead.take(retrain.recipe)
    record_training(
        tracking,
        TrainingRecord(
            experiment=delivery.application.name,
            model_name=delivery.application.name,
            estimator=trained.model,
            inputs=tables.training[list(retrain.recipe.columns)],
            started_at=begun,
            ended_at=begun + timedelta(minutes=retrain.minutes),
            registered_at=calendar.made_at(delivery),
            metrics=trained.metrics,
            params=trained.parameters,
            datasets=_written(settings.home / "sample" / "data", delivery, tables),
            tags={DELIVERY_TAG: delivery.name, **_declared(calendar, retrain, commits)},
            user=retrain.by.name,
        ),
    )


def _written(folder: Path, delivery: Delivery, tables: data.Split) -> tuple[DatasetToLog, ...]:
    slug = "-".join("".join(letter if letter.isalnum() else " " for letter in delivery.name).split())
    named = (("flights", "training", tables.training), ("flights-held-out", "evaluation", tables.evaluation))
    logged = []
    for name, context, table in named:
        path = folder / f"{slug}-{context}.parquet"
        data.write(table, path)
        logged.append(DatasetToLog(name, context, path, table))
    return tuple(logged)


def _declared(calendar: Calendar, retrain: Retrain, commits: Sequence[Commit]) -> dict[str, str]:
    """What the maker says about a run: how far its data reaches, and the commits that went into it."""
    return {
        "headgate.data_cutoff": _iso(calendar.cutoff(retrain.recipe)),
        "headgate.commits": json.dumps([[commit.sha, _iso(commit.at)] for commit in commits]),
        "mlflow.source.git.commit": commits[-1].sha,
    }


def _iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
