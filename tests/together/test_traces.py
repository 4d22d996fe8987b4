"""``eval --trace`` keeps what happens inside each edit, one file for each case; without it nothing is kept."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from safetensors.torch import load_file

import wildcore.testing
from wildcore import EditRequest, Trace
from wildcore.cli import main
from wildcore.records.trace_files import LONGEST_NAME, trace_without_patch, write_case_traces, write_patch_trace
from wildcore.types import EditCase

TINY_LLAMA = Path(wildcore.testing.__file__).parent / "data" / "tiny-llama"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WILDCORE_CACHE", str(tmp_path / "cache"))


def evaluate(edits: Path, out: Path, *options: str) -> Result:
    data = ["--model", str(TINY_LLAMA), "--dataset", "counterfact", f"--set=dataset.path={edits}", "--limit=3"]
    arguments = ["eval", *data, "--protocol", "synthetic", "--out", str(out), *options]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def test_each_case_has_its_own_losses_keys_and_values(edits: Path, tmp_path: Path) -> None:
    few = ("--set=editor.steps=3", "--set=editor.layers=[1, 2]", "--set=editor.moment_tokens=500")
    evaluate(edits, tmp_path / "run", "--editor=memit", "--trace", *few)
    files = sorted((tmp_path / "run" / "traces").iterdir())
    assert [file.name for file in files] == ["0.safetensors", "1.safetensors", "2.safetensors"]
    traces = [load_file(file) for file in files]
    of_each_layer = {f"{name}.{layer}" for name in ("key", "left", "right") for layer in (1, 2)}
    values = {"value.initial", "value.optimised", "value.written"}
    for trace in traces:
        assert trace.keys() == of_each_layer | values | {"losses", "passes"}
        assert trace["losses"].shape == (3,)
        assert trace["passes"].tolist() == [3]
    assert len({tuple(trace["losses"].tolist()) for trace in traces}) == 3


def test_edits_written_together_share_the_losses_of_their_training(edits: Path, tmp_path: Path) -> None:
    few = ("--set=editor.steps=3", "--schedule=batch")
    evaluate(edits, tmp_path / "run", "--editor=ft-m", "--trace", *few)
    losses = {tuple(load_file(file)["losses"].tolist()) for file in (tmp_path / "run" / "traces").iterdir()}
    assert len(losses) == 1
    assert len(losses.pop()) == 3
    evaluate(edits, tmp_path / "without", "--editor=ft-m", *few)
    assert not (tmp_path / "without" / "traces").exists()
    journals = [(tmp_path / name / "journal.jsonl").read_text().splitlines() for name in ("run", "without")]
    patches = [[json.loads(line)["edit"]["patch"] for line in lines] for lines in journals]
    assert patches[0] == patches[1], "a trace changes nothing"


def test_an_editor_that_records_nothing_is_named(edits: Path, tmp_path: Path) -> None:
    done = evaluate(edits, tmp_path / "run", "--editor=ike", "--trace")
    assert "--trace: ike recorded nothing" in done.stderr


def test_the_features_that_an_update_is_solved_from_are_kept(edits: Path, tmp_path: Path) -> None:
    layer = "model.layers.2.mlp.down_proj"
    named = (f"--set=editor.modules=[{layer}]", "--set=editor.close_target=end-of-sequence")
    evaluate(edits, tmp_path / "run", "--editor=ultraedit", "--trace", *named)
    evaluate(edits, tmp_path / "without", "--editor=ultraedit", *named)
    traces = [load_file(file) for file in sorted((tmp_path / "run" / "traces").iterdir())]
    assert len(traces) == 3
    for trace in traces:
        keys, gradients = trace[f"keys.{layer}"], trace[f"gradients.{layer}"]
        assert (keys.shape[1], gradients.shape[1]) == (96, 48)
        assert len(keys) == len(gradients) > 1
        assert trace["losses"].item() > 0
        assert trace["passes"].tolist() == [1]
    journals = [(tmp_path / name / "journal.jsonl").read_text().splitlines() for name in ("run", "without")]
    patches = [[json.loads(line)["edit"]["patch"] for line in lines] for lines in journals]
    assert patches[0] == patches[1], "a trace changes nothing"


def edited(out: Path, facts: Path, *options: str) -> Result:
    named = ["--model", str(TINY_LLAMA), "--editor=ft-m", "--set=editor.steps=2", "--edits", str(facts)]
    return CliRunner().invoke(main, ["edit", *named, "--out", str(out), *options], catch_exceptions=False)


def test_the_trace_of_an_edit_that_was_killed_before_its_patch_is_said_and_replaced(tmp_path: Path) -> None:
    facts, out, trace = (tmp_path / name for name in ("facts.jsonl", "p.safetensors", "p.trace.safetensors"))
    facts.write_text(json.dumps({"prompt": "Snow is", "target": "white"}) + "\n")
    said = f"Note: {trace}: left by an edit that ended before its patch was saved; it is replaced"
    first = edited(out, facts, "--trace")
    assert (first.exit_code, said in first.stderr) == (0, False)
    whole = load_file(trace)
    out.unlink()  # as if it had been killed before the patch had its name
    again = edited(out, facts, "--trace")
    assert (again.exit_code, said in again.stderr) == (0, True)
    assert load_file(trace)["0.losses"].tolist() == whole["0.losses"].tolist()
    out.unlink()
    without = edited(out, facts)
    assert (without.exit_code, said in without.stderr) == (0, True)
    assert out.exists()
    assert not trace.exists(), "it does not belong to the patch that is there now"


def test_only_a_trace_that_names_the_missing_patch_is_left_over(tmp_path: Path) -> None:
    patch, trace, request = tmp_path / "p.safetensors", Trace(), EditRequest(prompt="Snow is", target="white")

    def write(diverged: bool) -> Path:
        trace.record(request, "losses", [2.0, 1.0])
        path = write_patch_trace(patch, trace, [request], diverged)
        assert path is not None
        return path

    assert trace_without_patch(patch) is None
    path = write(diverged=False)
    assert trace_without_patch(patch) == path
    patch.touch()
    assert trace_without_patch(patch) is None
    patch.unlink()
    path.rename(tmp_path / "other")
    path.symlink_to(tmp_path / "other")
    assert trace_without_patch(patch) is None
    path.unlink()
    write(diverged=True)
    assert trace_without_patch(patch) is None
    path.write_bytes(b"?")
    assert trace_without_patch(patch) is None


@pytest.mark.parametrize("identifier", ["../up", "a/b", "x" * (LONGEST_NAME + 1), "été 1"])
def test_any_id_has_a_file_in_the_folder(identifier: str, tmp_path: Path) -> None:
    trace, request = Trace(), EditRequest(prompt="Snow is", target="white")
    trace.record(request, "losses", [2.0, 1.0])
    case = EditCase(id=identifier, request=request, probes=())
    write_case_traces(tmp_path, trace, [case])
    (file,) = (tmp_path / "traces").iterdir()
    assert load_file(file)["losses"].tolist() == [2.0, 1.0]
    assert not trace.take(request), "what is written is forgotten"
