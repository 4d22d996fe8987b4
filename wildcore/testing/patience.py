"""A pytest plugin (``-p wildcore.testing.patience``): a property test fails for what it finds, not because a machine is slow."""

import pytest
from hypothesis import HealthCheck, settings


def pytest_configure(config: pytest.Config) -> None:
    """Let examples take as long as they need, in every property test that does not say otherwise."""
    settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("patient")
