"""All that Headgate asks of MLflow and writes into it. The only package that imports mlflow.

Importing it costs seconds, so the dashboard and the commands that only read the lineage store never do.
"""

from services.work.tracking import _environment  # isort: skip  # sets what MLflow reads on import
from services.work.tracking.facts import DatasetInput, ModelFiles, ModelVersion, PromptVersion, Run
from services.work.tracking.loading import load_checked, load_pyfunc, probability_of_positive
from services.work.tracking.record import DatasetToLog, TrainingRecord, record_training, register_prompt
from services.work.tracking.registry import BUNDLE_TAG, DIGEST_TAG, MANIFEST_TAG, Tracking, bundle_name

REQUEST_SECONDS = _environment.REQUEST_SECONDS

__all__ = [
    "BUNDLE_TAG",
    "DIGEST_TAG",
    "MANIFEST_TAG",
    "REQUEST_SECONDS",
    "DatasetInput",
    "DatasetToLog",
    "ModelFiles",
    "ModelVersion",
    "PromptVersion",
    "Run",
    "Tracking",
    "TrainingRecord",
    "bundle_name",
    "load_checked",
    "load_pyfunc",
    "probability_of_positive",
    "record_training",
    "register_prompt",
]
