"""The plugins that CONTRIBUTING shows work as they stand."""

import re
from pathlib import Path
from typing import Any

import pytest

from wildcore import EditorParams, EditRequest
from wildcore.testing.conformance import check_editor, quiet_environment
from wildcore.testing.networks import tiny_model

ROOT = Path(__file__).parents[2]


SHOWN = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)


def test_both_examples_are_found() -> None:
    assert [re.findall(r'Offer\("([\w-]+)"', code) for code in SHOWN] == [["my-editor"], ["my-training"]]


@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
@pytest.mark.parametrize("code", SHOWN)
def test_the_example_editor_passes_the_conformance_checks(code: str, model_type: str, tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    exec(compile(code, "CONTRIBUTING.md", "exec"), names)
    (offer,) = names["wildcore_editors"]()
    model = tiny_model(model_type)
    params = EditorParams().for_model(model.shape)
    requests = [
        EditRequest(prompt=prompt, target="Rome") for prompt in ("The capital of France is", "The capital of Peru is")
    ]
    check_editor(lambda: offer.make(params), model, requests, quiet_environment(tmp_path))
