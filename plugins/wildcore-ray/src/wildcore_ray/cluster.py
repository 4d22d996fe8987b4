"""Connects to a Ray cluster, or starts one on this machine."""

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from wildcore import Parameter, UserError

OBJECT_STORE_BYTES = 80 * 2**20
"""Size of the object store of a cluster started here. Ray's smallest is 75 MB; only cell ids pass through it."""
CONNECT_SECONDS = 5.0
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""Environment of Ray's processes: no usage statistics, and workers without reserved GPUs see the devices they are given."""


def import_ray() -> Any:
    """Return the module ``ray``. Raises ``UserError`` if it cannot be imported."""
    try:
        return import_module("ray")
    except ImportError as error:
        raise UserError(
            f"the package ray cannot be imported ({error})",
            about="executor ray",
            way_out="install it: pip install 'ray>=2.40'",
        ) from error


@contextmanager
def connected(address: str | None, workers: int, cpus: float) -> Iterator[Any]:
    """Connect to the cluster at ``address``, or start one that has room for ``workers`` workers of ``cpus`` cores; yield the
    module ``ray``.

    A cluster started here is stopped at the end. Raises ``UserError`` if ray is missing, if it is in use in this process
    already, or if the cluster cannot be reached or started.
    """
    with _environment(QUIET):
        ray = import_ray()
        if ray.is_initialized():
            raise UserError("this process uses Ray already", "executor ray", "end that use first: ray.shutdown()")
        try:
            ray.init(**_settings(address, workers, cpus))
        except (OSError, RuntimeError, ValueError) as error:
            raise _unusable(address, error) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _settings(address: str | None, workers: int, cpus: float) -> dict[str, Any]:
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address is not None:
        _require_reachable(address)
        return {"address": address, **quiet}
    return {
        "address": "local",
        "num_cpus": max(os.cpu_count() or 1, int(workers * cpus + 0.999)),
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
        **quiet,
    }


def _require_reachable(address: str) -> None:
    """Raise ``UserError`` if nothing listens at HOST:PORT. Ray itself would try for much longer."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise _unusable(address, error) from error


def _unusable(address: str | None, error: Exception) -> UserError:
    reason = " ".join(str(error).split())[:300]
    if address is None:
        return UserError(f"no Ray cluster can be started on this machine ({reason})", about="executor ray")
    return UserError(
        f"no Ray cluster can be reached there ({reason})",
        about=Parameter("executor.address", address),
        way_out="start one (ray start --head), or leave the address out to start one on this machine",
    )


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables that the caller has not set, for the processes started in this context."""
    own = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(own)
    try:
        yield
    finally:
        for name in own:
            os.environ.pop(name, None)
