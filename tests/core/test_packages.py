"""The checks of plugin packages let a good one pass and catch a bad one."""

from pathlib import Path

import pytest

from wildcore.testing.packages import check_import, check_readme

GOOD = (
    "`synthetic` is made of `question-only`, `teacher-forcing`, `gold-length`, `token-match` and `token-agreement`.\n"
)


def test_a_cheap_import_passes_and_a_heavy_one_is_named() -> None:
    check_import("wildcore", ["torch", "transformers"])
    with pytest.raises(AssertionError, match=r"importing wildcore\.models imports torch transformers"):
        check_import("wildcore.models", ["torch", "transformers", "bert_score"])
    with pytest.raises(AssertionError, match="No module named 'wildcore_nowhere'"):
        check_import("wildcore_nowhere", ["torch"])


@pytest.mark.plugins("synthetic")
def test_a_readme_must_name_every_offer_and_its_commands_must_run(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(GOOD + "\n    wildcore describe protocol synthetic\n")
    check_readme("synthetic", readme)
    readme.write_text(GOOD.replace("`token-match`", "token-match"))
    with pytest.raises(AssertionError, match=r"does not name \['token-match'\]"):
        check_readme("synthetic", readme)
    readme.write_text(GOOD + "\n    wildcore describe protocol synthetik\n")
    with pytest.raises(AssertionError, match="did you mean 'synthetic'"):
        check_readme("synthetic", readme)
