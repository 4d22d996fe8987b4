"""Importing the core, listing plugins and asking for help load neither torch nor transformers."""

import pytest

HEAVY = ("torch", "transformers", "datasets", "numpy", "scipy", "statsmodels")
CODE = """
import sys
{what}
loaded = [name for name in {heavy} if name in sys.modules]
print("loaded:", loaded, file=sys.stderr)
sys.exit(9 if loaded else 0)
"""


def call(*arguments: str) -> str:
    return f"from wildcore.cli import main\nmain({list(arguments)}, standalone_mode=False)"


@pytest.mark.parametrize(
    "what",
    [
        "import wildcore",
        "import wildcore.datasets, wildcore.storage, wildcore.records, wildcore.scoring, wildcore.evaluation, wildcore.jobs",
        pytest.param(
            "from wildcore import api; api.editor('ft-m', layer=1); api.fact('Rome is in', 'Peru')",
            marks=pytest.mark.plugins("ft"),
        ),
        call("--help"),
        call("eval", "--help"),
        call("plugins"),
        call("plugins", "--json"),
        pytest.param(call("describe", "protocol", "wild"), marks=pytest.mark.plugins("wild")),
        pytest.param(call("describe", "wild", "--json"), marks=pytest.mark.plugins("wild")),
        pytest.param(call("describe", "truncator", "stop-strings"), marks=pytest.mark.plugins("wild")),
    ],
)
def test_nothing_heavy_is_loaded(python, what: str) -> None:
    done = python("-c", CODE.format(what=what, heavy=HEAVY))
    assert done.returncode == 0, done.stderr


def test_the_check_itself_can_fail(python) -> None:
    assert python("-c", CODE.format(what="import numpy", heavy=HEAVY)).returncode == 9
