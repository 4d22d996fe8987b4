"""Runs as a person reads them."""
