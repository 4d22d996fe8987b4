"""Exit codes that are not click's own: 0 is success, 1 an unforeseen error, 2 bad input."""

ALL_REFUSED = 3
"""Every edit was refused, so nothing was written or measured."""
