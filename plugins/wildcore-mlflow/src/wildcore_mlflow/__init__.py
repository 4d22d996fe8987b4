"""Sends the numbers of a run to MLflow."""
