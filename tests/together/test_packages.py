"""Every package of this repository has a cheap import, offers that can be made, and a README that names them."""

import tomllib
from pathlib import Path

import pytest

from wildcore.interfaces import Lazy
from wildcore.registry import load_registry
from wildcore.testing.packages import check_import, check_offers, check_readme

PLUGINS = Path(__file__).parents[2] / "plugins"
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
    "matplotlib",
    "nltk",
    "openai",
    "pandas",
    "peft",
    "rouge_score",
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
