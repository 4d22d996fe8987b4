"""Kinds of accelerator, whose results are told apart."""

from collections.abc import Mapping


def kind_of_device(facts: Mapping[str, object]) -> str:
    """Return the kind of a device from the hardware recorded in a run."""
    return str(facts.get("accelerator") or str(facts.get("device", "unknown")).partition(":")[0])
