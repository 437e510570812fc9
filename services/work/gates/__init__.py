"""Gates, for real: a runner, and a module per kind with `judge(task, progress) -> GateOutcome`."""
