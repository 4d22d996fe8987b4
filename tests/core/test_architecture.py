"""The page on the architecture names folders and functions that exist, and the layers that are checked."""

import ast
import re
import tomllib
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
STATIONS = ["datasets", "models", "patches", "inference", "evaluation", "records", "scoring", "reporting"]
STEP = re.compile(r"^\|[^|]+\| (?P<functions>`[^|]+`) \| `(?P<file>[^`|]+\.py)` \|$", re.MULTILINE)
STEPS = [
    (step["file"], function) for step in STEP.finditer(PAGE) for function in re.findall(r"`(\w+)`", step["functions"])
]


def section(heading: str) -> str:
    """Return what the page says under a heading of the second level."""
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def named(text: str) -> set[str]:
    """Return the folders of the core that a text names."""
    return set(re.findall(r"`wildcore/(\w+)/`", text))


def functions_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_folder_has_its_place_on_the_page_and_every_place_its_folder() -> None:
    there = {file.parent.name for file in (ROOT / "wildcore").glob("*/__init__.py")}
    assert named(section("The stations")) | named(section("Around the stations")) == there


def test_every_path_on_the_page_exists() -> None:
    paths = re.findall(r"`((?:wildcore|plugins|tests)/[\w./-]*)`", PAGE)
    assert len(paths) > 30
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_files_named_with_a_station_lie_in_it() -> None:
    found = re.findall(r"### \w+: `(wildcore/\w+/)`\n\n(.+?)\n\n", PAGE, re.DOTALL)
    assert [Path(folder).name for folder, _ in found] == STATIONS
    files = [f"{folder}{file}" for folder, text in found for file in re.findall(r"`(\w+\.py)`", text)]
    assert len(files) > 20
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_the_lines_of_the_page_are_the_layers_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    lines = section("What may import what").partition("\n    ")[2].splitlines()
    assert [line.strip() for line in takewhile(str.strip, lines)] == contracts[0]["layers"]


def test_the_trip_of_a_case_is_found() -> None:
    assert len(STEPS) > 20
    assert {Path(file).parts[1] for file, _ in STEPS} >= set(STATIONS)


@pytest.mark.parametrize(("file", "function"), STEPS)
def test_each_function_of_the_trip_is_in_its_file(file: str, function: str) -> None:
    assert function in functions_of(ROOT / file)
