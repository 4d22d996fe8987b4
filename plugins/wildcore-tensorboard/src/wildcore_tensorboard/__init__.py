"""Writes the numbers of a run as TensorBoard event files."""
