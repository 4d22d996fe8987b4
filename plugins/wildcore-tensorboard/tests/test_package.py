"""The package is cheap to import, its offer can be made, and its README names it."""

from pathlib import Path

from wildcore.testing.packages import check_import, check_offers, check_readme


def test_the_package() -> None:
    check_import("wildcore_tensorboard", ["torch", "transformers", "tensorboard", "pandas"])
    check_offers("tensorboard")
    check_readme("tensorboard", Path(__file__).parents[1] / "README.md")
