"""The run folder, and the provenance of results."""
