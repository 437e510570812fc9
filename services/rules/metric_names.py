"""The metrics a gate can compute, by what they judge and which way is better."""

from __future__ import annotations

CLASSIFICATION = (
    "roc_auc",
    "average_precision",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "precision",
    "recall",
    "log_loss",
    "brier",
)
REGRESSION = ("mae", "rmse", "r2")
ALL = CLASSIFICATION + REGRESSION
HIGHER_IS_BETTER = frozenset(
    {"roc_auc", "average_precision", "accuracy", "balanced_accuracy", "f1", "precision", "recall", "r2"}
)
PROBABILITIES = frozenset(CLASSIFICATION) - {"log_loss"}
