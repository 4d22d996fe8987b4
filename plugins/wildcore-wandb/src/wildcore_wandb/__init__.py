"""Sends the numbers of a run to Weights & Biases."""
