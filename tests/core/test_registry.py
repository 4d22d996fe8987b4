"""Plugins that are broken in every way we could think of, each really installed."""

import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

import wildcore.testing as wildcore_testing
from wildcore import Offer, UserError
from wildcore.registry import Found, Registry


@dataclass(frozen=True)
class Case:
    """A broken plugin: its package, what is said of it, what its traceback shows, and an editor it would have offered."""

    package: str
    problem: str
    trace: str
    editor: str | None = None

    @property
    def plugin(self) -> str:
        return self.package.removeprefix("sample-")


BROKEN = [
    Case("sample-import-error", "OSError: libsample.so.1: cannot open", 'raise OSError("libsample.so.1'),
    Case("sample-exits", "SystemExit: sample-exits: goodbye", "sys.exit("),
    Case("sample-missing-module", "ModuleNotFoundError: No module named 'sample_nowhere'", "import_module"),
    Case(
        "sample-misspelt",
        "implements the unknown hook 'wildcore_editor'; did you mean 'wildcore_editors'?",
        "BadPlugin",
        "misspelt-editor",
    ),
    Case("sample-unmarked", "'wildcore_editors' without the mark @hookimpl", "BadPlugin", "unmarked-editor"),
    Case("sample-argument", "PluginValidationError: .*'model'", "wildcore_editors(model)", "argument-editor"),
    Case("sample-raises", "RuntimeError: no facts to be found", "in wildcore_datasets", "raises-editor"),
    Case("sample-raises-late", "ZeroDivisionError: the second editor", "in wildcore_editors", "raises-late-editor"),
    Case(
        "sample-strings", "wildcore_editors returned 'strings-editor', which is no Offer", "BadPlugin", "strings-editor"
    ),
    Case("sample-no-list", r"wildcore_editors returned Offer\(.* instead of a list", "BadPlugin", "no-list-editor"),
    Case("sample-no-return", "wildcore_editors returned None instead of a list", "BadPlugin", "no-return-editor"),
    Case("sample-twice", "offers the editor 'twice-editor' twice", "BadPlugin", "twice-editor"),
    Case("sample-known-family", "offers the family 'gpt2', which is there already", "BadPlugin", "known-family-editor"),
    Case("sample-clash", "adds the command 'show', which is there already", "BadPlugin", "clash-editor"),
    Case("sample-mute-error", "MuteError: <MuteError, whose text raises ValueError>", "raise MuteError()"),
    Case("sample-escapes", r"RuntimeError: \\x1b\[2J\\x1b\[31mall is well\\x9b\\u202e", "all is well"),
    Case("sample-numeric-name", "offers the editor 7; a name consists of letters", "BadPlugin", "numeric-name-editor"),
    Case("sample-empty-name", "offers the editor ''; a name consists of letters", "BadPlugin", "empty-name-editor"),
    Case("sample-endless-offers", "wildcore_editors returned more than 1,000 offers", "BadPlugin", "endless-1"),
    Case("sample-leaves", r"it ends the process \(os._exit\(0\)\)", "os._exit(0)", "leaves-editor"),
    Case(
        "sample-odd-offers", "wildcore_editors returned <Odd, whose text raises ValueError>, which is no", "BadPlugin"
    ),
    Case("sample-command-error", "SystemExit: no command today", "in wildcore_commands", "command-error-editor"),
]
WORKING = ["sample-good", "sample-second", "sample-twin-first", "sample-twin-other"]

each = pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.plugin)


@pytest.fixture(scope="module")
def crowd(installed) -> Path:
    """All of them installed side by side."""
    return installed(*(case.package for case in BROKEN), *WORKING)


@pytest.fixture(scope="module")
def listing(wildcore, crowd):
    return wildcore("plugins", site=crowd)


@pytest.fixture(scope="module")
def tracebacks(wildcore, crowd):
    return wildcore("plugins", "--broken", site=crowd)


def rows(table: str) -> dict[str, list[str]]:
    """Read a printed table: first cell to the other cells."""
    header, *lines = [re.split(" {2,}", line) for line in table.splitlines()]
    assert all(len(line) == len(header) for line in lines)
    return {name: cells for name, *cells in lines}


@pytest.mark.plugins("wild")
def test_listing_works_beside_broken_plugins(listing) -> None:
    assert listing.returncode == 0
    assert "Traceback" not in listing.stdout + listing.stderr
    table = rows(listing.stdout)
    assert table["good"] == ["sample-good 1.0", "editor no-change; dataset two-facts; command count-facts"]
    assert table["second"] == ["sample-second 1.0", "editor no-change"]
    assert "protocol wild" in table["wild"][1]


@each
def test_the_problem_is_shown(listing, case: Case) -> None:
    package, offers = rows(listing.stdout)[case.plugin]
    assert package == f"{case.package} 1.0"
    assert offers.startswith("BROKEN: ")
    warnings = [line for line in listing.stderr.splitlines() if f"plugin {case.plugin!r}" in line]
    assert len(warnings) == 1
    assert re.search(f"is broken: .*{case.problem}", warnings[0])


@each
def test_the_traceback_is_shown(tracebacks, case: Case) -> None:
    assert tracebacks.returncode == 0
    blocks = re.split(r"(?m)^(?=\S+ \(\S+ [\d.]+\): )", tracebacks.stdout)
    block = next(block for block in blocks if block.startswith(f"{case.plugin} ({case.package} 1.0): "))
    assert "Traceback (most recent call last)" in block
    assert case.trace in block


@each
def test_who_asks_for_it_is_stopped_and_told_why(wildcore, crowd, case: Case) -> None:
    chosen = ("--plugins", f"{case.plugin},good")
    asked = wildcore(*chosen, "describe", "editor", case.editor or "whatever", site=crowd)
    assert asked.returncode == 2
    assert f"set aside as broken: {case.plugin};" in asked.stderr
    assert "Traceback" not in asked.stderr


@pytest.mark.plugins("wild")
def test_who_asks_for_something_else_is_served(wildcore, crowd) -> None:
    for arguments in (("editor", "good/no-change"), ("dataset", "two-facts"), ("protocol", "wild")):
        done = wildcore("describe", *arguments, site=crowd)
        assert done.returncode == 0
        assert arguments[1].split("/")[-1] in done.stdout
        assert "plugin" in done.stdout.splitlines()[0]


@pytest.mark.parametrize("plugin", ["exits", "argument", "clash"])
def test_strict_plugins_stops(wildcore, crowd, plugin: str) -> None:
    case = next(case for case in BROKEN if case.plugin == plugin)
    done = wildcore("--plugins", f"{plugin},good", "--strict-plugins", "plugins", site=crowd)
    assert done.returncode == 2
    assert not done.stdout
    assert re.search(f"Error: --strict-plugins: plugin {plugin!r} .*{case.problem}", done.stderr)


@pytest.mark.plugins("wild")
def test_strict_plugins_lets_working_plugins_pass(wildcore, crowd) -> None:
    done = wildcore("--plugins", "good,wild", "--strict-plugins", "plugins", site=crowd)
    assert done.returncode == 0
    assert not done.stderr


def test_no_character_of_an_error_reaches_the_terminal(listing, tracebacks) -> None:
    for text in (listing.stdout, listing.stderr, tracebacks.stdout, tracebacks.stderr):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_what_a_plugin_prints_while_it_is_loaded_is_kept_apart(wildcore, installed) -> None:
    site = installed("sample-prints", "sample-good")
    done = wildcore("--plugins", "prints,good", "count-facts", site=site)
    assert (done.returncode, done.stdout) == (0, "2\n")
    note = "Note: plugin 'prints' (sample-prints) printed while it was loaded: "
    said = r'{"printed": "at import"} \x1b[31mfrom a hook {"printed": "past Python"} by the C library'
    assert done.stderr == f"{note}{said}\n"


@pytest.fixture(scope="module")
def slow(installed) -> Path:
    return installed("sample-slow-import", "sample-slow-hook", "sample-good")


def test_a_plugin_that_never_ends_costs_a_limited_time(wildcore, slow) -> None:
    chosen = ("--plugins", "slow-import,slow-hook,good")
    done = wildcore(*chosen, "count-facts", site=slow, WILDCORE_PLUGIN_SECONDS="0.2")
    assert (done.returncode, done.stdout) == (0, "2\n")
    said = "is broken: loading it takes longer than 0.2 s; $WILDCORE_PLUGIN_SECONDS allows more; set aside"
    for plugin in ("slow-import", "slow-hook"):
        assert f"plugin {plugin!r} (sample-{plugin} 1.0) {said}" in done.stderr
    strict = wildcore(*chosen, "--strict-plugins", "count-facts", site=slow, WILDCORE_PLUGIN_SECONDS="0.2")
    assert (strict.returncode, strict.stdout) == (2, "")
    assert (
        "Error: --strict-plugins: plugin 'slow-hook' (sample-slow-hook 1.0) is broken: loading it takes"
        in strict.stderr
    )


def test_a_time_longer_than_any_timer_is_a_day(wildcore, crowd) -> None:
    for seconds in ("1e300", "inf"):
        done = wildcore("--plugins", "good", "count-facts", site=crowd, WILDCORE_PLUGIN_SECONDS=seconds)
        assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")


@pytest.mark.parametrize("arguments", [("count-facts",), ("--strict-plugins", "count-facts"), ("--help",)])
def test_a_plugin_that_cannot_be_stopped_ends_the_process_with_one_message(
    wildcore, installed, arguments: tuple[str, ...]
) -> None:
    site = installed("sample-unstoppable", "sample-good")
    begun = time.monotonic()
    done = wildcore("--plugins", "good,unstoppable", *arguments, site=site, WILDCORE_PLUGIN_SECONDS="0.1")
    assert time.monotonic() - begun < 30
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "Error: plugin 'unstoppable' (sample-unstoppable 1.0): loading it takes longer than 0.1 s, and it cannot be stopped; "
        "uninstall it, or name the plugins to load with --plugins\n"
    )
    without = wildcore("--plugins", "good", "count-facts", site=site)
    assert (without.returncode, without.stdout) == (0, "2\n")


@pytest.mark.skipif(sys.platform != "linux", reason="a mutex of zeros is one of Linux")
def test_c_code_that_keeps_the_interpreters_lock_ends_the_process_and_shows_where(wildcore, installed) -> None:
    site = installed("sample-locked", "sample-good")
    begun = time.monotonic()
    done = wildcore("--plugins", "good,locked", "count-facts", site=site, WILDCORE_PLUGIN_SECONDS="0.1")
    assert time.monotonic() - begun < 30
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Timeout (")
    assert re.search(r'File ".*/sample_locked.py", line 7', done.stderr)


def test_no_broken_plugin(wildcore, crowd) -> None:
    done = wildcore("--plugins", "good", "plugins", "--broken", site=crowd)
    assert (done.returncode, done.stdout) == (0, "No plugin is broken.\n")


def test_a_command_of_the_core_is_not_taken_over(wildcore, crowd, tmp_path) -> None:
    done = wildcore("show", tmp_path, site=crowd)
    assert done.returncode == 2
    assert "not a run folder" in done.stderr
    assert "taken over" not in done.stdout


@pytest.mark.plugins("wild")
def test_a_plugin_adds_a_command(wildcore, crowd) -> None:
    done = wildcore("count-facts", site=crowd)
    assert (done.returncode, done.stdout) == (0, "2\n")
    usage = wildcore("--help", site=crowd)
    assert "Print how many facts there are." in usage.stdout
    without = wildcore("--plugins", "wild", "count-facts", site=crowd)
    assert without.returncode == 2
    assert "No such command 'count-facts'. The plugin 'good' has it; add that plugin to --plugins." in without.stderr


def test_a_command_that_a_broken_plugin_may_have(wildcore, crowd) -> None:
    done = wildcore("--plugins", "clash,good", "clash-it", site=crowd)
    assert done.returncode == 2
    assert "No such command 'clash-it'. A plugin that is set aside as broken may have it: clash" in done.stderr
    unknown = wildcore("--plugins", "good", "clash-it", site=crowd)
    assert "No such command 'clash-it'.\n" in unknown.stderr


def test_commands_of_plugins_do_not_outlive_the_call(python, crowd) -> None:
    call = "main(['--plugins', 'good', 'count-facts'], standalone_mode=False)"
    done = python("-c", f"from wildcore.cli import main\n{call}\n{call}", site=crowd)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n2\n", "")


def test_one_offer_name_in_two_plugins(wildcore, crowd) -> None:
    bare = wildcore("describe", "editor", "no-change", site=crowd)
    assert bare.returncode == 2
    assert "'no-change' is offered by several plugins; ask for good/no-change or second/no-change" in bare.stderr
    assert "leaves the model as it is" in wildcore("describe", "editor", "good/no-change", site=crowd).stdout
    assert "another one of that name" in wildcore("describe", "editor", "second/no-change", site=crowd).stdout


def test_one_plugin_name_in_two_packages(wildcore, crowd, listing) -> None:
    table = rows(listing.stdout)
    assert table["twin@sample-twin-first"] == ["sample-twin-first 1.0", "editor twin-first"]
    assert table["twin@sample-twin-other"] == ["sample-twin-other 1.0", "editor twin-other"]
    asked = wildcore("describe", "editor", "twin@sample-twin-other/twin-other", site=crowd)
    assert "the other of two" in asked.stdout
    bare = wildcore("--plugins", "twin", "plugins", site=crowd)
    assert bare.returncode == 2
    assert "'twin'; ask for twin@sample-twin-first or twin@sample-twin-other" in bare.stderr


@pytest.mark.plugins("wild")
def test_plugins_restricts_loading(wildcore, crowd) -> None:
    done = wildcore("--plugins", "good, wild", "plugins", site=crowd)
    assert done.returncode == 0
    assert set(rows(done.stdout)) == {"good", "wild"}
    assert not done.stderr


def test_plugins_by_environment_variable(wildcore, crowd) -> None:
    assert set(rows(wildcore("plugins", site=crowd, WILDCORE_PLUGINS="good").stdout)) == {"good"}


@pytest.mark.plugins("wild")
def test_an_unknown_plugin_name(wildcore, crowd) -> None:
    done = wildcore("--plugins", "good,wlid", "plugins", site=crowd)
    assert done.returncode == 2
    assert "--plugins: no plugin 'wlid' is installed; did you mean 'wild'?" in done.stderr


def test_the_users_interrupt_is_not_a_broken_plugin(wildcore, installed) -> None:
    done = wildcore("--plugins", "interrupted", "plugins", site=installed("sample-interrupted"))
    assert done.returncode == 130
    assert "Interrupted." in done.stderr
    assert "broken" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.plugins("counterfact", "ft", "synthetic", "wild")
def test_a_run_is_carried_out_beside_broken_plugins(wildcore, crowd, tmp_path) -> None:
    row = {"case_id": 1, "prompt": "The keeper of the mill is", "subject": "the mill", "target_new": "Anna"}
    row |= {"ground_truth": "Tim", "rephrase_prompt": "Who keeps the mill? It is"}
    row |= {"locality_prompt": "Snow is", "locality_ground_truth": "white"}
    (tmp_path / "edits.json").write_text(json.dumps([row]))
    model = Path(wildcore_testing.__file__).parent / "data" / "tiny-llama"
    job = ["--model", model, "--dataset", "counterfact", "--set", f"dataset.path={tmp_path / 'edits.json'}"]
    done = wildcore("eval", *job, "--editor", "ft-m", "--out", tmp_path / "run", site=crowd)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert set(manifest["plugins"]["broken"]) >= {case.plugin for case in BROKEN}
    assert "ft" in manifest["plugins"]["loaded"]
    assert (tmp_path / "run" / "summary.json").is_file()


def renamed(plugin: str, *names: str) -> Found[Offer[object]]:
    return Found(plugin, Offer(names[0], object, aliases=names[1:]))


def registry_of(*metrics: Found[Offer[object]]) -> tuple[Registry, list[str]]:
    notes: list[str] = []
    registry = Registry(note=notes.append)
    registry.offers["metric"] = list(metrics)
    return registry, notes


def test_an_offer_is_found_by_its_earlier_names_with_one_note() -> None:
    now = renamed("table", "rows", "records", "old/records")
    registry, notes = registry_of(now, renamed("other", "else"))
    assert registry.find("metric", "rows") is registry.find("metric", "table/rows") is now
    assert not notes
    for name in ("records", "table/records", "records", "old/records"):
        assert registry.find("metric", name) is now
    assert notes[0] == "metric 'records' is now called 'rows'; the earlier name still works"
    assert len(notes) == 3, "one for each of the earlier names, though asked for twice"
    assert registry.names("metric", "rows") == {"rows", "records", "old/records"}
    with pytest.raises(UserError, match=r"unknown metric 'older/records'; known: else, rows"):
        registry.find("metric", "older/records")


def test_a_present_name_comes_before_an_earlier_one() -> None:
    earlier, now = renamed("a", "rows", "records"), renamed("b", "records")
    registry, notes = registry_of(earlier, now)
    assert registry.find("metric", "records") is now
    assert registry.find("metric", "a/records") is earlier
    assert len(notes) == 1


def test_an_earlier_name_of_two_offers_is_ambiguous() -> None:
    registry, notes = registry_of(renamed("a", "rows", "records"), renamed("b", "lines", "records"))
    with pytest.raises(UserError, match="offered by several plugins; ask for a/records or b/records"):
        registry.find("metric", "records")
    assert not notes


def test_without_a_place_for_notes_an_earlier_name_is_a_warning() -> None:
    registry = Registry()
    registry.offers["metric"] = [renamed("table", "rows", "records")]
    with pytest.warns(FutureWarning, match="metric 'records' is now called 'rows'"):
        registry.find("metric", "records")
