"""Protocols in files: what is described can be read back, and what is wrong is said."""

from pathlib import Path

import pytest
import yaml

from wildcore import EvalProtocol, Use, UserError
from wildcore.cli.naming import COMMAND_LINE
from wildcore.jobs.protocol_files import read_protocol, to_toml
from wildcore.jobs.protocols import resolve_protocol
from wildcore.registry import load_registry

pytestmark = pytest.mark.plugins("wild", "synthetic")

MINE = """
name = "mine"
context = "question-only"
truncator = "sentence"

[generator]
name = "autoregressive"
params = { max_new_tokens = 5 }

[metrics]
reliability = ["exact-match"]
"""


def test_every_protocol_installed_is_read_back_as_it_was_described(tmp_path: Path) -> None:
    registry = load_registry()
    assert registry.protocols
    for number, found in enumerate(registry.protocols):
        protocol = resolve_protocol(registry, found.offer).complete
        file = tmp_path / f"{number}.toml"
        file.write_text(to_toml(protocol), encoding="utf-8")
        read = read_protocol(file)
        assert resolve_protocol(registry, read).complete == protocol.model_copy(
            update={"metrics": {kind: uses for kind, uses in protocol.metrics.items() if uses}}
        )


def test_toml_and_yaml_say_the_same_and_a_name_alone_is_a_module(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(MINE)
    content = {
        "name": "mine",
        "context": "question-only",
        "truncator": "sentence",
        "generator": {"name": "autoregressive", "params": {"max_new_tokens": 5}},
        "metrics": {"reliability": ["exact-match"]},
        "summary": "from mine.toml",
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    read = read_protocol(tmp_path / "mine.toml")
    assert read == read_protocol(tmp_path / "mine.yaml")
    assert read == EvalProtocol(
        name="mine",
        summary="from mine.toml",
        context=Use(name="question-only"),
        generator=Use(name="autoregressive", params={"max_new_tokens": 5}),
        truncator=Use(name="sentence"),
        metrics={"reliability": (Use(name="exact-match"),)},
    )


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.toml", "name = ]", "Invalid value (at line 1, column 8)"),
        ("a.yaml", "name: [", "while parsing"),
        ("a.yaml", "- name", "expected the fields of a protocol, found list"),
        ("a.json", "{}", "the name must end in .toml, .yaml or .yml"),
        (
            "a.toml",
            MINE + 'locality = ["unchanged"]\n[truncatr]\n',
            "unknown field 'truncatr'; did you mean 'truncator'?",
        ),
        ("a.toml", MINE.replace('name = "mine"\n', ""), "the field 'name' is missing"),
        ("a.toml", MINE.replace("reliability", "reliabilty"), "field 'metrics.reliabilty"),
    ],
)
def test_a_file_that_is_wrong(name: str, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as refused:
        read_protocol(tmp_path / name)
    message = refused.value.rendered(COMMAND_LINE)
    assert message.startswith(f"--protocol-file {tmp_path / name}: ")
    assert said in message
    assert "\n" not in message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file or directory"):
        read_protocol(tmp_path / "none.toml")


def test_a_changed_protocol_needs_a_name_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(MINE.replace('"mine"', '"wild"'))
    with pytest.raises(UserError, match="'wild' is the name of a protocol of wild"):
        load_registry().add_protocols([read_protocol(tmp_path / "mine.toml")])
