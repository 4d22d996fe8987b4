"""An option that takes one value and is given twice is refused in every command; flags and lists of options are not."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from wildcore.cli import main
from wildcore.registry import Registry


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command of the core with the words that call it."""
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def options(several: bool) -> list[tuple[tuple[str, ...], str]]:
    """Return the options with a value of every command, either those that may be given several times or the others."""
    return [
        (path, max(option.opts, key=len))
        for path, command in commands(main)
        for option in command.params
        if isinstance(option, click.Option) and not option.is_flag and option.multiple == several
    ]


def said(*arguments: str) -> str:
    done = CliRunner().invoke(main, arguments, prog_name="wildcore", obj=Registry())
    assert done.exit_code == 2, done.output
    return done.output


@pytest.mark.parametrize(("path", "option"), options(several=False))
def test_an_option_with_one_value_is_given_once(path: tuple[str, ...], option: str) -> None:
    refused = f"Error: {option} is given 2 times and takes one value; give it once"
    assert refused in said(*path, option, "1", f"{option}=2")
    assert refused not in said(*path, option, "no such value", "--no-such-option")


def test_options_are_counted_among_others_and_before_the_command() -> None:
    assert {path for path, _ in options(several=False)} >= {("eval",), ("edit",), ("audit",), ("cache", "prune")}
    three = said("eval", "--model", "a", "--editor", "rome", "--model", "b", "--quiet", "--model", "a")
    assert "Error: --model is given 3 times and takes one value; give it once" in three
    assert "Error: --plugins is given 2 times" in said("--plugins", "a", "--plugins", "b", "plugins")


@pytest.mark.parametrize(("path", "option"), options(several=True))
def test_an_option_for_several_values_may_be_repeated(path: tuple[str, ...], option: str) -> None:
    assert "times and takes one value" not in said(*path, option, "a", option, "b", "--no-such-option")


def test_a_flag_may_be_repeated() -> None:
    assert "No such option" in said("eval", "--quiet", "--quiet", "--no-such-option")


def test_the_options_of_a_plugins_own_command_are_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command("mine")
    @click.option("--colour")
    def mine(colour: str) -> None:
        click.echo(colour)

    monkeypatch.setitem(main.commands, "mine", mine)
    assert CliRunner().invoke(main, ["mine", "--colour", "red"], obj=Registry()).output == "red\n"
    assert "--colour is given 2 times" in said("mine", "--colour", "red", "--colour", "blue")
