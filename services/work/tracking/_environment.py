"""Set before MLflow is imported, which reads some of it only then.

The limits are not the user's to raise: a call to MLflow must end well within the lease of a slot (20 s), and a command
must answer within 10 s when the server is down. MLflow's own defaults would hold a call for four minutes.
"""

from __future__ import annotations

import os

REQUEST_SECONDS = 3
RETRIES = 1

os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(REQUEST_SECONDS)
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = str(RETRIES)
os.environ["MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR"] = "1"
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
