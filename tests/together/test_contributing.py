"""The plugin that CONTRIBUTING shows works as it stands."""

import re
from pathlib import Path
from typing import Any

from wildcore import EditorParams, EditRequest
from wildcore.testing.conformance import check_editor, quiet_environment
from wildcore.testing.networks import tiny_model

ROOT = Path(__file__).parents[2]


def test_the_example_editor_passes_the_conformance_checks(tmp_path: Path) -> None:
    shown = re.search(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    names: dict[str, Any] = {}
    exec(compile(shown.group(1), "CONTRIBUTING.md", "exec"), names)
    (offer,) = names["wildcore_editors"]()
    model = tiny_model("llama")
    params = EditorParams().for_model(model.shape)
    requests = [
        EditRequest(prompt=prompt, target="Rome") for prompt in ("The capital of France is", "The capital of Peru is")
    ]
    check_editor(lambda: offer.make(params), model, requests, quiet_environment(tmp_path))
