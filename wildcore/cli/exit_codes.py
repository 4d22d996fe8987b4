"""Exit codes that are not click's own: 0 for success, 1 for an error that nobody foresaw, 2 for bad input."""

ALL_REFUSED = 3
"""Every edit was refused, so that nothing was written or measured."""
