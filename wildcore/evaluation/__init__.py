"""Asks a model, edits it, asks again: from a case to its record."""
