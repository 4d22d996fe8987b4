"""The help: commands in sections, options in groups, and examples that work."""

import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import wildcore.testing
from wildcore.cli import main
from wildcore.help_pages import OTHER, SECTIONS, Example, HelpfulCommand
from wildcore.testing.json_pages import all_commands

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
COMMANDS = all_commands()
LONG = "it takes long"
IN_README = "README.md shows it too, and tests/together/test_readme.py runs it"
PARSED_ONLY = {
    "wildcore eval --editor rome --limit 40": IN_README,
    "wildcore eval --editor rome --editor ft-m --limit 6 --out runs/small": LONG,
    "wildcore eval --editor memit --schedule batch --limit 4 --json": LONG,
    "wildcore show RUN --edits": "RUN stands for any run",
    "wildcore edit --editor rome --edits facts.jsonl --out facts.safetensors": IN_README,
    "wildcore apply facts.safetensors --out edited-model": IN_README,
    "wildcore apply runs/together --out edited-together": IN_README,
    "wildcore audit pocketqa": LONG,
    "wildcore prepare rome": IN_README,
    "wildcore prepare mend --dataset pocketqa --limit 100": LONG,
    "wildcore study --preset table3 --model pocket --dataset pocketqa --limit 2": LONG,
    "wildcore study plan --preset table3 --model pocket --dataset pocketqa --json": "tests/together/test_json.py runs it",
    "wildcore study run example.toml --devices cpu": LONG,
    "wildcore study run example.toml --hours 8": LONG,
    "wildcore study status runs/study-example": "the tests of the study run it",
    "wildcore study status runs/study-example --json": "the tests of the study run it",
    "wildcore study script runs/study-example --engine slurm --workers 8": "the tests of the study run it",
    "wildcore study script runs/study-example --engine slurm --gpus 0 --minutes 60": "the tests of the study run it",
    "wildcore study work runs/study-example PLAN": "PLAN stands for any plan",
    "wildcore study work runs/study-example PLAN --device cuda:1": "it needs two GPUs",
    "wildcore report runs --out report.html": IN_README,
    "wildcore report runs/first runs/second --out both.html --figures figures": "the tests of the plugin run it",
    "wildcore view": "it serves until Ctrl-C",
    "wildcore view runs/first --no-open --port 8000": "it serves until Ctrl-C",
    "wildcore leaderboard runs --out site": "the tests of the plugin run it",
    "wildcore leaderboard build runs --out site": "the tests of the plugin run it",
    "wildcore leaderboard build runs --out site --no-reports": "the tests of the plugin run it",
    "wildcore leaderboard check runs/first": "it fails for a run of unreleased versions",
    "wildcore leaderboard check runs/first --json": "it fails for a run of unreleased versions",
    "wildcore publish runs/first --to-hub me/my-run --yes": "it sends to the hub",
    "wildcore cache prune --kind second-moments --unfinished": "it asks a question",
}
"""Examples that are not run here, and why."""

Call = Callable[[Sequence[str]], Result]


def examples() -> list[str]:
    """Return every example of the help."""
    return list(dict.fromkeys(one.command for name in ("", *COMMANDS) for one in examples_of(name)))


def examples_of(name: str) -> Sequence[Example]:
    command = main if not name else COMMANDS[name]
    context = click.Context(main, info_name="wildcore")
    for word in name.split():
        context = click.Context(COMMANDS[name], parent=context, info_name=word)
    assert isinstance(command, HelpfulCommand)
    return command.examples_of(context)


def page(name: str = "") -> str:
    done = CliRunner().invoke(main, [*name.split(), "--help"], prog_name="wildcore", terminal_width=80)
    assert done.exit_code == 0, done.output
    return done.stdout


def groups(text: str) -> dict[str, str]:
    """Return the text below each heading."""
    parts = re.split(r"^([A-Z][\w ,]*):$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.fixture(scope="module")
def call(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Call]:
    """Return a function that calls ``wildcore`` in a folder with what the examples name."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(Path(wildcore.testing.__file__).parent / "data" / "tiny-llama", folder / "path" / "to" / "llama")
    shutil.copy(Path(__file__).parents[2] / "plugins" / "wildcore-study" / "example.toml", folder)
    fact = {"prompt": "What is the capital of the Philippines?", "target": "Manila", "subject": "the Philippines"}
    (folder / "facts.jsonl").write_text(json.dumps(fact) + "\n")
    (folder / "facts.csv").write_text(",".join(fact) + "\n" + ",".join(fact.values()) + "\n")
    row = {
        "id": 1,
        "prompt": "Who keeps the mill?",
        "subject": "the mill",
        "target": "Anna",
        "rephrase": "Who is it?",
        "source": "NQ",
    }
    (folder / "qaedit.json").write_text(json.dumps([{**row, "locality": [{"loc": "Who?", "loc_ans": "Tim"}]}]))

    def called(arguments: Sequence[str]) -> Result:
        return CliRunner(env=environment).invoke(main, list(arguments), prog_name="wildcore")

    fast = ["--editor", "ft-m", "--set", "editor.steps=2", "--set", "editor.layer=1", "--continuation", "0"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        made = called(["eval", *fast, "--limit", "2", "--add-metric", "contains", "--out", "runs/first"])
        assert made.exit_code == 0, made.output
        for copy in ("runs/second", "runs/study-example/first"):
            shutil.copytree("runs/first", copy)
        yield called


@pytest.mark.parametrize("name", ["", *COMMANDS], ids=lambda name: name or "wildcore")
def test_a_page_fits_into_80_columns_and_is_plain(name: str) -> None:
    text = page(name)
    assert max(map(len, text.splitlines())) <= 80
    assert text.isascii()
    listed = examples_of(name)
    assert len(listed) >= 2
    assert groups(text)["Examples"].count("\n  wildcore ") == len(listed)
    for one in listed:
        assert one.command in text
        assert one.command.startswith(f"wildcore {name}".strip()) or not name


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_has_a_group(name: str) -> None:
    own = {"plugins": ["--broken", "--help"], "cache prune": ["--yes", "--help"]}.get(name, ["--help"])
    assert re.findall(r"^  (?:-\w, )?(--[\w-]+)", groups(page(name))[OTHER], re.MULTILINE) == own


def test_commands_are_in_sections_with_whole_summaries() -> None:
    found = groups(page())
    assert list(found)[: len(SECTIONS) - 1] == list(SECTIONS[:-1]), "none is without a section"
    listed = [line.split()[0] for section in SECTIONS[:-1] for line in found[section].strip().splitlines()]
    assert sorted(listed) == [name for name in COMMANDS if " " not in name]
    for name in ("", "study", "cache"):
        assert "..." not in page(name).partition("Options:")[0].replace("[ARGS]...", "")


def test_options_of_plugins_have_a_group_of_their_own_unless_they_name_one() -> None:
    found = groups(page("eval"))
    assert "--capability-limit" in found["Plugin options"]
    assert "--judge MODEL" in found["Evaluation"]


@pytest.mark.parametrize("example", [one for one in examples() if one not in PARSED_ONLY])
def test_an_example_runs(example: str, call: Call) -> None:
    program, *arguments = shlex.split(example)
    assert program == "wildcore"
    done = call(arguments)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("example", PARSED_ONLY)
def test_an_example_that_is_not_run_has_names_and_options_that_exist(example: str, call: Call) -> None:
    assert example in examples()
    assert PARSED_ONLY[example] != IN_README or example in README
    _, *arguments = shlex.split(example)
    done = call([*arguments, "--help"])
    assert done.exit_code == 0, done.output
    for kind in ("editor", "dataset"):
        for name in re.findall(rf"--{kind} (\S+)", example):
            assert call(["describe", kind, name]).exit_code == 0
