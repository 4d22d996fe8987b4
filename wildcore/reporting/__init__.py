"""Runs presented to a person."""
