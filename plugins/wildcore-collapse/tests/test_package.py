"""The package is cheap to import, its offers can be made, and its README names them."""

from pathlib import Path

from wildcore.testing.packages import check_import, check_offers, check_readme


def test_the_package() -> None:
    check_import("wildcore_collapse", ["torch", "transformers", "datasets"])
    check_offers("collapse")
    check_readme("collapse", Path(__file__).parents[1] / "README.md")
