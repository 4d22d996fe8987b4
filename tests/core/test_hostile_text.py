"""Protocol files, settings, manifests, rows and the files of a run that were written to do harm: each ends in one message, and in
bounded memory.
"""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wildcore import Params, UserError
from wildcore.cli.naming import COMMAND_LINE
from wildcore.jobs.facts import read_facts
from wildcore.jobs.protocol_files import read_protocol
from wildcore.jobs.spec import parse_settings
from wildcore.params import build
from wildcore.patches.files import PatchManifest
from wildcore.records.lines import read_lines
from wildcore.records.run_folder import LINES, RunFolder
from wildcore.storage.manifests import read_versioned

MEGABYTES = 48
"""Most memory that reading one text may take; a text of the largest size itself takes a part of it."""

PROTOCOL = """
name: mine
context: question-only
generator: {name: autoregressive, params: {max_new_tokens: 5}}
truncator: sentence
metrics: {reliability: [exact-match]}
"""
IN_TOML = """
name = "mine"
context = "question-only"
truncator = "sentence"
[generator]
name = "autoregressive"
params = { max_new_tokens = 5 }
[metrics]
reliability = ["exact-match"]
"""
MODEL = {"name": "m", "revision": None, "model_type": "llama", "dtype": "float32", "fingerprint": "0"}
MANIFEST = json.dumps(
    {
        "schema_number": 2,
        "created": "2026-01-01",
        "model": MODEL,
        "editor": {"name": "rome", "plugin": "rome", "params": {}},
        "seed": 0,
        "requests": [{"prompt": "Rome is in", "target": "Peru"}],
        "versions": {},
    }
)

LONG = 4_000

HOSTILE = [
    "[" * LONG,
    "[" * LONG + "]" * LONG,
    '{"a":' * 10_000 + "1" + "}" * 10_000,
    "[[],[]," * 5_000,
    "9" * LONG,
    "-" + "9" * 5_000,
    "1" + ":59" * 10_000,
    "0x" + "f" * LONG,
    "1e" + "9" * 5_000,
    "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "\n".join(f"{n}: &{n} [{','.join([f'*{p}'] * 9)}]" for p, n in zip("abcdefgh", "bcdefghi", strict=True)),
    "&a [*a]",
    "{<<: &a {b: 1}, c: *a}",
    '"\\ud800"',
    '{"a": "\\ud800"}',
    '"\\0"',
    '"\\u0000"',
    "a: \x00",
    "\x1b[31mred",
    "2001-99-99",
    "2001-01-01",
    "1979-05-27T07:32:00Z",
    "!!python/object/apply:os.system [echo]",
    "!!binary QUJD",
    "!!set {a, b}",
    "? [a]\n: b",
    "{1: 2, null: 3, true: 4}",
    "NaN",
    ".nan",
    "-.inf",
    "a = nan",
    "a = 99999999999999999999999999",
    ".".join("a" * LONG) + " = 1",
    "a = " + "[" * LONG,
    "a = " + "{a=" * 10_000,
    "[" + ".".join("a" * 5_000) + "]",
    '{"schema_number": [[1]]}',
    '{"schema_number": 2, "schema_number": 2}',
    "%YAML 9.9\n---\n",
    "--- a\n--- b",
    "- " * LONG,
    "? " * LONG,
    "!" * LONG,
    "'" * LONG,
    '"' * (LONG + 1),
    '"' + '\\"' * LONG,
    ", " * LONG,
    "{}",
    "[]",
    "",
    "\ufeff",
    "\u2028",
    "name: [mine]\ncontext: {name: {}}",
]


class Sample(Params):
    """Parameters of every kind that plugins have."""

    text: str = ""
    number: int = 0
    share: float = 0.0
    several: tuple[str, ...] = ()
    place: Path | None = None


def as_file(suffix: str) -> Callable[[str], object]:
    def read(text: str) -> object:
        with TemporaryDirectory() as folder:
            path = Path(folder, f"mine{suffix}")
            path.write_text(text, encoding="utf-8", errors="surrogatepass")
            return read_protocol(path)

    return read


def as_setting(name: str) -> Callable[[str], object]:
    def read(text: str) -> object:
        found = parse_settings([f"editor.{name}={text}"])
        json.dumps(found, allow_nan=False).encode()
        return build(Sample, {name: found[f"editor.{name}"]}, "editor x").model_dump_json().encode()

    return read


def as_manifest(text: str) -> object:
    try:
        return read_versioned(Path("p"), text, PatchManifest, (2,))
    except ValueError as error:  # the callers add the file's name and the way out
        raise UserError(" ".join(str(error).split())) from error


def as_rows(ending: str) -> Callable[[str], object]:
    def read(text: str) -> object:
        with TemporaryDirectory() as folder:
            path = Path(folder, f"facts.{ending}")
            path.write_text(text, encoding="utf-8", errors="surrogatepass")
            table = read_facts(path)
            json.dumps([row.model_dump() for row in table.bad], ensure_ascii=False).encode()
            return "".join(table.notes).encode()

    return read


RUN = {
    "created": "2026-01-01",
    "job": {},
    "identity": {},
    "protocols": [],
    "case_count": 1,
    "versions": {},
    "hardware": {},
    "plugins": {},
    "schema_number": 2,
    "case_ids": ["1"],
}
ANSWER = {
    "text": "Peru",
    "token_ids": [7],
    "output": {"text": "Peru.", "token_ids": [7, 8], "stop_reason": "stop-rule"},
}
PROBE = {
    "protocol": "wild",
    "probe": 0,
    "kind": "reliability",
    "question": "Rome is in",
    "answers": ["Peru"],
    "prompt": "Rome is in",
    "gold_token_ids": [7],
    "before": [],
    "after": [ANSWER],
}
CASE = {
    "case": "1",
    "request": {"prompt": "Rome is in", "target": "Peru"},
    "edit": {"status": "edited", "seconds": 0.5, "patch": {"layers": [5]}},
    "probes": [PROBE],
}
SCORE = {
    "case": "1",
    "protocol": "wild",
    "probe": 0,
    "kind": "reliability",
    "metric": "exact-match",
    "before": 0.0,
    "before_reason": None,
    "after": None,
    "after_reason": "no answer",
    "after_samples": [{"value": 0.5}],
}
ADDED = {"created": "2026-01-01", "metric": "contains", "module": {"name": "contains", "params": {}}, "versions": {}}
WORK = {"ended": "2026-01-01", "versions": {}, "hardware": {"cores": 2}, "notes": ["a note"]}
RUN_FILES = {
    "manifest.json": RUN,
    "journal.jsonl": CASE,
    "scores.jsonl": SCORE,
    "scorings.jsonl": ADDED,
    "work.jsonl": WORK,
}
"""A record of each file of a run; without a checksum, as earlier versions wrote them, so that nothing but the content tells."""


def as_run_file(name: str) -> Callable[[str], object]:
    def read(text: str) -> object:
        with TemporaryDirectory() as folder:
            for other, record in RUN_FILES.items():
                Path(folder, other).write_text(json.dumps(record) + "\n", encoding="utf-8")
            Path(folder, name).write_text(text, encoding="utf-8", errors="surrogatepass")
            run = RunFolder.open(Path(folder))
            shown = [*run.uncounted_lines(), *run.missing_cases()]
            errors = [refused for line in LINES for refused in refusals(lambda line=line: everything(run, line))]
            shown += run.mend()
            json.dumps(shown, ensure_ascii=False).encode()
            for line in LINES:
                assert everything(run, line) is not None  # what is mended can be read
            if errors:
                raise errors[0]
            return run.manifest

    return read


def everything(run: RunFolder, name: str) -> list[object]:
    """Read a file of a run."""
    if name == "journal.jsonl":
        return list(run.cases())
    return list(read_lines(run.path / name, LINES[name], "make it anew", appended=name != "scores.jsonl"))


def refusals(read: Callable[[], object]) -> list[UserError]:
    """Return the error in which reading ends, if it does."""
    try:
        read()
    except UserError as error:
        return [error]
    return []


READERS: dict[str, tuple[Callable[[str], object], str]] = {
    "protocol.yaml": (as_file(".yaml"), PROTOCOL),
    "protocol.toml": (as_file(".toml"), IN_TOML),
    "text": (as_setting("text"), "a text"),
    "number": (as_setting("number"), "12"),
    "share": (as_setting("share"), "0.5"),
    "several": (as_setting("several"), '["a", "b"]'),
    "place": (as_setting("place"), "folder/file"),
    "manifest": (as_manifest, MANIFEST),
    "rows.json": (
        as_rows("json"),
        '[{"prompt": "Rome is in", "target": "Peru"},\n {"prompt": "Who?", "target": ["Ann"]}]',
    ),
    "rows.jsonl": (
        as_rows("jsonl"),
        '{"prompt": "Rome is in", "target": "Peru"}\n{"prompt": "Who?", "target": ["Ann"]}\n',
    ),
    "rows.csv": (as_rows("csv"), 'prompt,target\nRome is in,Peru\n"Who, then?","[""Ann"", ""Bo""]"\n'),
    **{name: (as_run_file(name), json.dumps(record) + "\n") for name, record in RUN_FILES.items()},
}


def require_one_message(read: Callable[[str], object], text: str) -> None:
    """Fail unless reading succeeds or raises one ``UserError`` whose message can be shown, within the memory allowed."""
    tracemalloc.start()
    try:
        read(text)
    except UserError as error:
        message = error.rendered(COMMAND_LINE)
        assert message
        assert "\n" not in message
        assert len(message) < 2_000
        message.encode()
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MEGABYTES * 2**20, f"{peak / 2**20:.0f} MB"


@pytest.mark.parametrize("name", READERS)
def test_what_was_written_to_do_harm_ends_in_one_message(name: str) -> None:
    read, sound = READERS[name]
    read(sound)
    long = name not in ("text", "number", "share", "several", "place")  # settings are read like the values of the first
    for text in HOSTILE:
        if long or len(text) < LONG:
            require_one_message(read, text)


@st.composite
def damaged(draw: Any, sound: str) -> str:
    """Return a sound text in which some parts were replaced by others, of itself or of a hostile text."""
    text = sound
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 30)))
        piece = draw(
            st.sampled_from([one[:200] for one in HOSTILE])
            | st.text(max_size=6)
            | st.sampled_from(list("[]{}:,\"'&*!|>%@`#=.-~\n\t\\0"))
        )
        text = text[:start] + piece + text[end:]
    return text


@settings(max_examples=120, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(READERS)))
def test_a_damaged_text_ends_in_one_message(data: st.DataObject, name: str) -> None:
    read, sound = READERS[name]
    require_one_message(read, data.draw(damaged(sound)))
