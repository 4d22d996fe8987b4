"""Rows of tables become edit cases: reading, choosing, checking."""
