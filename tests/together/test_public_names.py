"""Plugins import public names of the core only. The contract that they import no other plugin is in pyproject.toml."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(file.parent for file in (ROOT / "plugins").glob("*/pyproject.toml"))
DOORS = (
    "wildcore",
    "wildcore.datasets",
    "wildcore.inference",
    "wildcore.models",
    "wildcore.patches",
    "wildcore.scoring",
    "wildcore.storage",
)
"""Packages of the core whose ``__all__`` a plugin may import from."""
OPEN = (
    "wildcore.architectures",
    "wildcore.bounded",
    "wildcore.completion",
    "wildcore.equivalence",
    "wildcore.help_pages",
    "wildcore.json_documents",
    "wildcore.normalise",
    "wildcore.reporting.tables",
    "wildcore.scripts",
    "wildcore.thoughts",
    "wildcore.words",
)
"""Modules of the core whose every public name a plugin may import."""
FOR_TESTS = "wildcore.testing"
READERS_OF_RUNS = {
    "wildcore_agreement": (
        "wildcore.records.run_folder",
        "wildcore.records.schema",
        "wildcore.reporting.console",
        "wildcore.scoring.intervals",
        "wildcore.scoring.scores",
    ),
    "wildcore_leaderboard": (
        "wildcore.datasets.selection",
        "wildcore.defaults",
        "wildcore.evaluation.schedules",
        "wildcore.jobs.build",
        "wildcore.jobs.modules",
        "wildcore.jobs.protocols",
        "wildcore.protocols",
        "wildcore.records.lines",
        "wildcore.records.run_folder",
        "wildcore.records.schema",
        "wildcore.records.summary_file",
        "wildcore.registry",
        "wildcore.reporting.console",
        "wildcore.reporting.headline",
        "wildcore.reporting.run",
        "wildcore.scoring.clusters",
        "wildcore.scoring.differences",
        "wildcore.scoring.intervals",
        "wildcore.scoring.means",
        "wildcore.scoring.paired",
        "wildcore.scoring.power",
        "wildcore.scoring.ranks",
        "wildcore.scoring.retention",
        "wildcore.scoring.scores",
        "wildcore.scoring.values",
        "wildcore.types",
    ),
    "wildcore_report": (
        "wildcore.datasets.relations",
        "wildcore.defaults",
        "wildcore.evaluation.schedules",
        "wildcore.jobs.spec",
        "wildcore.records.continuations",
        "wildcore.records.run_folder",
        "wildcore.records.schema",
        "wildcore.reporting.console",
        "wildcore.reporting.headline",
        "wildcore.scoring.capability",
        "wildcore.scoring.clusters",
        "wildcore.scoring.intervals",
        "wildcore.scoring.paired",
        "wildcore.scoring.retention",
        "wildcore.scoring.scores",
        "wildcore.types",
    ),
    "wildcore_study": (
        "wildcore.architectures",
        "wildcore.evaluation.schedules",
        "wildcore.interfaces",
        "wildcore.jobs.build",
        "wildcore.jobs.eval_plan",
        "wildcore.jobs.protocols",
        "wildcore.jobs.resume",
        "wildcore.jobs.spec",
        "wildcore.jobs.whole_runs",
        "wildcore.models.fingerprints",
        "wildcore.models.loaded",
        "wildcore.models.loading",
        "wildcore.params",
        "wildcore.records.continuations",
        "wildcore.records.provenance",
        "wildcore.records.run_folder",
        "wildcore.records.schema",
        "wildcore.registry",
        "wildcore.reporting.console",
        "wildcore.scoring.clusters",
        "wildcore.scoring.intervals",
        "wildcore.scoring.means",
        "wildcore.scoring.orders",
        "wildcore.scoring.paired",
        "wildcore.scoring.retention",
        "wildcore.scoring.values",
        "wildcore.types",
    ),
}
"""Exceptions: a plugin whose command reads finished runs or carries out many, and the modules whose public names it takes beside
those above."""


def package(plugin: Path) -> str:
    return plugin.name.replace("-", "_")


def imported(code: str) -> Iterator[tuple[str, str | None]]:
    """Yield every module that code imports, with the name taken from it, None where the module itself is imported."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)


def is_public(module: str, name: str | None, own: str) -> bool:
    """Say whether the plugin ``own`` may take ``name`` from ``module`` of the core."""
    if module.startswith(f"{FOR_TESTS}.") or module == FOR_TESTS:
        return True
    if name is None:
        return module in DOORS + OPEN
    if module in DOORS:
        loaded: ModuleType = importlib.import_module(module)
        return name in loaded.__all__
    return module in (*OPEN, *READERS_OF_RUNS.get(own, ())) and not name.startswith("_")


def offences(code: str, own: str) -> list[str]:
    """Return what code of the package ``own`` imports that it may not."""
    found = []
    for module, name in imported(code):
        if module.partition(".")[0] == "wildcore" and not is_public(module, name, own):
            found.append(module if name is None else f"{module}.{name}")
    return found


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_a_plugin_imports_public_names_only(plugin: Path) -> None:
    files = sorted((plugin / "src").rglob("*.py"))
    assert files
    found = {
        str(file.relative_to(plugin)): offences(file.read_text(encoding="utf-8"), package(plugin)) for file in files
    }
    assert not {file: names for file, names in found.items() if names}


def test_the_check_itself_can_fail() -> None:
    assert offences("from wildcore.jobs.eval import Evaluation", "wildcore_rome") == ["wildcore.jobs.eval.Evaluation"]
    assert offences("from wildcore.models import _private", "wildcore_rome") == ["wildcore.models._private"]
    assert offences("import wildcore.records", "wildcore_rome") == ["wildcore.records"]
    reader = "from wildcore.records.run_folder import RunFolder"
    assert offences(reader, "wildcore_rome") == ["wildcore.records.run_folder.RunFolder"]
    assert offences("from wildcore.jobs.eval import Evaluation", "wildcore_agreement")
    assert not offences(reader, "wildcore_agreement")
    assert not offences("from wildcore.models import LoadedModel\nimport wildcore_keyvalue", "wildcore_rome")


@pytest.mark.parametrize("door", DOORS)
def test_what_a_door_offers_is_there(door: str) -> None:
    loaded = importlib.import_module(door)
    assert loaded.__all__
    assert not [name for name in loaded.__all__ if not hasattr(loaded, name)]
