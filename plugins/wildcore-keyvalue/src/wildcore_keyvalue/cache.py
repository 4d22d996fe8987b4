"""Names of what is kept between runs: one file for each content, found by everything it depends on."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wildcore import Environment
from wildcore.models import LoadedModel


def cache_file(environment: Environment, model: LoadedModel, kind: str, facts: Mapping[str, Any], ending: str) -> Path:
    """Return the file that holds ``kind`` for this model and these facts; its folder exists."""
    key = {"model": model.fingerprint, "revision": model.revision, "dtype": str(model.dtype), **facts}
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    folder = environment.cache / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}{ending}"
