"""Metrics, one file per task: pure functions of predictions and targets."""
