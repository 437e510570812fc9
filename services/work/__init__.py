"""What the worker does. Only the tracking package knows MLflow."""
