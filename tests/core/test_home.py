"""``~`` is expanded in every path that a user gives: in options, parameters, the cache's variable and the Python interface."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from wildcore import Params, UserError, api
from wildcore.cli import main
from wildcore.datasets import TableParams, read_table
from wildcore.home import expanded, user_path
from wildcore.jobs.spec import ModelChoice
from wildcore.registry import Registry
from wildcore.storage.cache import cache_folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("text", "inside"), [("~", ""), ("~/runs/a", "/runs/a")])
def test_a_leading_tilde_is_the_home_folder(home: Path, text: str, inside: str) -> None:
    assert expanded(text) == f"{home}{inside}"
    assert user_path(Path(text)) == Path(f"{home}{inside}")


@pytest.mark.parametrize("text", ["a~/b", "~ about ten", "~10 %", "", "/~/x", "owner/name"])
def test_any_other_tilde_stays(text: str) -> None:
    assert expanded(text) == text


class Named(Params):
    file: Path | None = None
    corpus: str = "sample"


def test_parameters_begin_in_the_home_folder(home: Path) -> None:
    params = Named.model_validate({"file": "~/f.json", "corpus": "~/corpus.txt"})
    assert (params.file, params.corpus) == (home / "f.json", f"{home}/corpus.txt")
    assert Named(corpus="a ~ b").corpus == "a ~ b"
    assert Named(file=Path("~/x")).file == home / "x"
    assert ModelChoice(model="~/llama").model == f"{home}/llama"
    (home / "t.jsonl").write_text('{"a": 1}\n')
    assert [row.fields for row in read_table(TableParams.model_validate({"path": "~/t.jsonl"}))] == [{"a": 1}]


def test_the_cache_may_lie_in_the_home_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WILDCORE_CACHE", "~/kept")
    assert cache_folder() == home / "kept"


@pytest.mark.parametrize(
    "arguments", [("show", "~/no-run"), ("eval", "--resume=~/no-run"), ("eval", "--resume", "~/no-run")]
)
def test_arguments_begin_in_the_home_folder(home: Path, arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, arguments, obj=Registry())
    assert done.exit_code == 2
    assert done.output.startswith(f"Error: {home}/no-run: not a run folder"), done.output


def test_paths_given_in_python_begin_in_the_home_folder(home: Path) -> None:
    with pytest.raises(UserError, match=f"^{home}/no-run: not a run folder"):
        api.score("~/no-run", "exact-match")
    with pytest.raises(UserError, match=f"{home}/no.toml'?: cannot be read"):
        api.read_protocol(Path("~/no.toml"))
