"""Makes what a delivery brings: a model that is trained and logged in MLflow, or a new wording of the notice."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from pathlib import Path

from services.sample import data, training
from services.sample.story import APPLICATION, MODEL, PROMPT, Calendar, Delivery, Retrain, Reword
from services.settings import Settings
from services.work.tracking import DatasetToLog, Tracking, TrainingRecord, record_training, register_prompt

DELIVERY_TAG = "headgate.sample"  # on a run: the delivery that it was made for
REGISTERED_AFTER = timedelta(minutes=4)  # the end of a training


def made_at(calendar: Calendar, delivery: Delivery) -> datetime:
    """When what the delivery brings is in the registry."""
    begun = calendar.at(delivery.month, delivery.makes.at)
    if isinstance(delivery.makes, Reword):
        return begun
    return begun + timedelta(minutes=delivery.makes.minutes) + REGISTERED_AFTER


def make(settings: Settings, tracking: Tracking, calendar: Calendar, delivery: Delivery) -> None:
    """See to it that it is the newest in MLflow. Does nothing where it is already.

    Raises RegistryUnreachable, RegistryRefused, and BadInput where the sample's data is not installed.
    """
    if isinstance(delivery.makes, Reword):
        register_prompt(tracking, PROMPT, delivery.makes.template, registered_at=made_at(calendar, delivery))
    elif not _is_newest(tracking, delivery):
        _train(settings, tracking, calendar, delivery, delivery.makes)


def _is_newest(tracking: Tracking, delivery: Delivery) -> bool:
    newest = tracking.newest_version(MODEL)
    if newest is None or newest.run_id is None:
        return False
    return tracking.run(newest.run_id).tags.get(DELIVERY_TAG) == delivery.name


def _train(settings: Settings, tracking: Tracking, calendar: Calendar, delivery: Delivery, retrain: Retrain) -> None:
    begun = calendar.at(delivery.month, retrain.at)
    tables = data.split(retrain.recipe)
    trained = training.train(retrain.recipe, tables)
    record_training(
        tracking,
        TrainingRecord(
            experiment=APPLICATION,
            model_name=MODEL,
            estimator=trained.model,
            inputs=tables.training[list(retrain.recipe.columns)],
            started_at=begun,
            ended_at=begun + timedelta(minutes=retrain.minutes),
            registered_at=made_at(calendar, delivery),
            metrics=trained.metrics,
            params=trained.parameters,
            datasets=_written(settings.home / "sample" / "data", delivery, tables),
            tags={DELIVERY_TAG: delivery.name, **_declared(calendar, delivery, retrain)},
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


def _declared(calendar: Calendar, delivery: Delivery, retrain: Retrain) -> dict[str, str]:
    """What the maker says about a run: how far its data reaches, and the commits that went into it."""
    commits = [
        (hashlib.sha1(f"{delivery.name}, commit {number}".encode()).hexdigest(), calendar.at(delivery.month, moment))
        for number, moment in enumerate(retrain.commits, start=1)
    ]
    tags = {
        "headgate.data_cutoff": _iso(calendar.start_of(retrain.recipe.held_out)),
        "headgate.commits": json.dumps([[sha, _iso(at)] for sha, at in commits]),
    }
    return tags | ({"mlflow.source.git.commit": commits[-1][0]} if commits else {})


def _iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
