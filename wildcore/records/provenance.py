"""The provenance of a result: package versions, source revision, hardware, plugins."""

import hashlib
import json
import platform
import re
import subprocess
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from wildcore.interfaces import Offer
from wildcore.registry import GROUP, Found, Registry

if TYPE_CHECKING:
    from wildcore.models.loaded import LoadedModel

REQUIRED = re.compile(r"[^A-Za-z0-9._-]")
FAMILY = "family"
"""Name of ``ModelIdentity.model_type`` in the manifest of a run."""
LIBRARIES = ("wildcore", "torch", "transformers", "tokenizers", "safetensors", "accelerate", "datasets", "numpy")


def versions(registry: Registry) -> dict[str, str]:
    """Return the versions of Python, of the packages that answers depend on, of every plugin and of its requirements.

    The source revision is included if it is known.
    """
    found = {"python": platform.python_version()}
    plugins = sorted({plugin.distribution for plugin in registry.plugins})
    needed = sorted({name for plugin in plugins for name in requirements(plugin)} - {*LIBRARIES, *plugins})
    for name in (*LIBRARIES, *plugins, *needed):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    revision = source_revision("wildcore")
    return found | ({"source revision": revision} if revision else {})


def requirements(package: str) -> list[str]:
    """Return the names of the packages that an installed package always requires; empty if it is not installed."""
    try:
        declared = distribution(package).requires or []
    except PackageNotFoundError:
        return []
    return [REQUIRED.split(line, maxsplit=1)[0] for line in declared if "extra ==" not in line]


def source_revision(package: str) -> str | None:
    """Return the git revision that a package was installed from, with "+changes" for an edited tree. None: unknown."""
    source = _source(package)
    if source is None:
        return None
    if source.commit is not None or not source.is_editable:
        return source.commit
    folder = Path(__file__).parent
    head = _git(folder, "rev-parse", "HEAD")
    return head and head + ("+changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def hardware(model: "LoadedModel") -> dict[str, Any]:
    """Return the hardware that the run computes on."""
    import torch

    facts: dict[str, Any] = {
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "threads": torch.get_num_threads(),
        "device": str(model.device),
    }
    if model.device.type == "cuda":
        facts["accelerator"] = torch.cuda.get_device_name(model.device)
    return facts


def plugins(registry: Registry) -> dict[str, Any]:
    """Return which plugins were loaded, and which were set aside and why."""
    return {
        "loaded": [plugin.name for plugin in registry.plugins if not plugin.problem],
        "broken": {plugin.name: plugin.problem for plugin in registry.broken},
    }


def model_identity(model: "LoadedModel") -> dict[str, Any]:
    """Return what identifies this model as loaded, in the form of a run's manifest."""
    return {FAMILY if name == "model_type" else name: value for name, value in model.identity.model_dump().items()}


def source_of(registry: Registry, found: Found[Offer[Any]]) -> str:
    """Return the distribution and version of an offer, and a hash of its code if it is installed in editable form."""
    plugin = next(plugin for plugin in registry.plugins if plugin.name == found.plugin)
    source = _source(plugin.distribution)
    edited = f" {_code_hash(source.installed)}" if source and source.is_editable else ""
    return f"{plugin.distribution} {plugin.version}{edited}"


@dataclass(frozen=True)
class _Source:
    """The origin of an installed package, as recorded by its installer (PEP 610). ``commit`` is None if it is not recorded."""

    installed: Distribution
    commit: str | None
    is_editable: bool


def _source(package: str) -> _Source | None:
    """Return the origin of a package. None: it is not installed."""
    try:
        installed = distribution(package)
    except PackageNotFoundError:
        return None
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    commit = str(origin["vcs_info"].get("commit_id")) if "vcs_info" in origin else None
    return _Source(installed, commit, bool(origin.get("dir_info", {}).get("editable")))


def _code_hash(installed: Distribution) -> str:
    """Return a hash of the Python files of the packages that contain a distribution's plugins."""
    packages = sorted({point.module.partition(".")[0] for point in installed.entry_points.select(group=GROUP)})
    code = hashlib.sha256()
    for path in (path for package in packages for path in _python_files(package)):
        code.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return code.hexdigest()[:16]


def _python_files(package: str) -> list[Path]:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return []
    folders = spec.submodule_search_locations
    return sorted(path for folder in folders for path in Path(folder).rglob("*.py")) if folders else [Path(spec.origin)]
