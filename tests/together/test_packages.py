"""Every package of this repository has a cheap import, offers that can be made, a README that names them, and a licence."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from wildcore.interfaces import Lazy
from wildcore.registry import load_registry
from wildcore.testing.packages import check_import, check_offers, check_readme

ROOT = Path(__file__).parents[2]
PLUGINS = ROOT / "plugins"
PROJECTS = {
    file.parent: tomllib.loads(file.read_text(encoding="utf-8"))["project"] for file in PLUGINS.glob("*/pyproject.toml")
}
OFFERING = {
    name: (module, folder)
    for folder, project in PROJECTS.items()
    for name, module in project.get("entry-points", {}).get("wildcore", {}).items()
}
HEAVY = [
    "bert_score",
    "datasets",
    "lm_eval",
    "matplotlib",
    "nltk",
    "openai",
    "pandas",
    "peft",
    "rouge_score",
    "scipy",
    "sentence_transformers",
]
HEAVY += ["torch", "transformers"]


def test_there_are_plugins_to_check() -> None:
    assert len(OFFERING) > 25
    assert len(PROJECTS) - len(OFFERING) == len(["keyvalue", "retrieval", "training"])  # helper libraries offer nothing


def test_no_plugin_imports_anything_heavy_when_it_is_loaded() -> None:
    check_import(", ".join(sorted(module for module, _ in OFFERING.values())), HEAVY)


def test_every_offer_of_this_repository_names_what_it_makes() -> None:
    offers = [found.offer for offers in load_registry(sorted(OFFERING)).offers.values() for found in offers]
    assert len(offers) > 45
    assert [offer.name for offer in offers if not isinstance(offer.make, Lazy)] == []


@pytest.mark.parametrize("plugin", sorted(OFFERING))
def test_a_plugin_offers_what_can_be_made_and_its_readme_names_it(plugin: str) -> None:
    check_offers(plugin)
    check_readme(plugin, OFFERING[plugin][1] / "README.md")


@pytest.mark.parametrize("folder", sorted(PROJECTS), ids=lambda folder: folder.name)
def test_a_package_has_a_readme_and_marks_its_types(folder: Path) -> None:
    assert (folder / "README.md").read_text(encoding="utf-8").startswith("# ")
    assert list(folder.glob("src/*/py.typed"))


@pytest.mark.parametrize("folder", [ROOT, *sorted(PROJECTS)], ids=lambda folder: folder.name)
def test_a_package_names_and_contains_its_licence(folder: Path) -> None:
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == "Apache-2.0"
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("folder", sorted(PROJECTS), ids=lambda folder: folder.name)
def test_a_plugin_bounds_the_version_of_the_core(folder: Path) -> None:
    (core,) = [one for one in PROJECTS[folder]["dependencies"] if re.match(r"wildcore\b(?!-)", one)]
    assert re.fullmatch(r"wildcore>=\d+\.\d+,<\d+\.\d+", core)


def test_a_wheel_that_is_built_from_the_plugins_folder_alone_contains_the_licence(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    alone = shutil.copytree(PLUGINS / "wildcore-ft", tmp_path / "plugin", ignore=shutil.ignore_patterns("tests"))
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel"], cwd=alone, check=True)
    (wheel,) = alone.glob("dist/*.whl")
    with zipfile.ZipFile(wheel) as content:
        (licence,) = [name for name in content.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
        assert content.read(licence) == (ROOT / "LICENSE").read_bytes()
        (metadata,) = [name for name in content.namelist() if name.endswith(".dist-info/METADATA")]
        assert "License-Expression: Apache-2.0" in content.read(metadata).decode().splitlines()
