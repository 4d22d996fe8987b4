"""The tables of shapes and forms of data files say what is recognised, and each row is held by a test."""

import re
from pathlib import Path

from wildcore_table.shapes import SHAPES

ROOT = Path(__file__).parents[2]
SECTION = "## Shapes of data files\n"


def rows() -> list[list[str]]:
    """Return the cells of all rows of the section's tables."""
    section = (ROOT / "docs" / "support.md").read_text(encoding="utf-8").partition(SECTION)[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|") and not line.startswith("| ---")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_every_shape_is_listed_with_the_fields_that_it_is_recognised_by() -> None:
    listed = {row[0].strip("`"): row[1] for row in rows() if len(row) == 5 and row[0] != "shape"}
    ways: dict[str, list[str]] = {}
    for shape in SHAPES:
        ways.setdefault(shape.name, []).append(", ".join(f"`{name}`" for name in shape.known_by))
    assert {name: sorted(way.split(" or ")) for name, way in listed.items()} == {
        name: sorted(found) for name, found in ways.items()
    }


def test_every_form_is_held_by_a_test() -> None:
    forms = [row for row in rows() if len(row) == 3 and row[0] != "form"]
    defined = re.findall(
        r"^def (test_\w+)", (ROOT / "tests/core/test_found_files.py").read_text(encoding="utf-8"), re.M
    )
    assert len(forms) > 10
    assert {row[2].strip("`") for row in forms} <= set(defined)
