"""The package is cheap to import, it offers its commands, and its README names them."""

from pathlib import Path

from wildcore.testing.packages import check_import, check_offers, check_readme


def test_the_package() -> None:
    check_import("wildcore_leaderboard", ["torch", "transformers", "jinja2", "pyarrow", "huggingface_hub"])
    check_offers("leaderboard")
    check_readme("leaderboard", Path(__file__).parents[1] / "README.md")
