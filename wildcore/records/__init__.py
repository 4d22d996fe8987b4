"""The run folder, and where a result comes from."""
