"""Publishing: what is sent to the hub, that nothing is sent unasked, and that it tells nothing about the machine."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import Result
from huggingface_hub import DatasetCard, ModelCard, parse_eval_result_entries

Json = dict[str, Any]
Command = Callable[..., Result]
TOKEN = "hf_notatokenbutlongenough"
NAME = "someone/a-run"


def _hub_class() -> Any:
    """Return the class of the stand-in for the hub, which lies beside this file."""
    spec = spec_from_file_location("hub_server", Path(__file__).with_name("hub_server.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.Hub


@pytest.fixture
def hub() -> Iterator[Any]:
    with _hub_class()(TOKEN) as running:
        yield running


Publish = Callable[..., Result]


@pytest.fixture
def publish(hub: Any, submission: Any, wildcore_command: Command, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Return a function that runs ``wildcore publish``; the hub is the stand-in."""
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)

    def run(*options: object, token: str | None = TOKEN) -> Result:
        if token is None:
            monkeypatch.delenv("HF_TOKEN", raising=False)
        else:
            monkeypatch.setenv("HF_TOKEN", token)
        done = wildcore_command("publish", submission.path, "--to-hub", NAME, *options)
        assert TOKEN not in done.output
        assert all(TOKEN.encode() not in body for _, _, body in hub.requests)
        return done

    return run


def machine_paths(run: Any) -> None:
    """Let the run name files of the machine wherever a run can."""

    def manifest(found: Json) -> None:
        found["job"].update(model="/home/someone/models/tiny-llama", patch="/home/someone/patch.safetensors")
        found["identity"]["model"]["name"] = "/home/someone/models/tiny-llama"
        found["identity"]["dataset"]["params"]["path"] = "/home/someone/facts/edits.json"
        found["notes"] = ["kept in /home/someone/cache/x"]
        found["plugins"]["broken"] = {"bad": "File '/home/someone/plugin.py', line 3"}

    run.manifest(manifest, summary_too=True)
    run.lines("work.jsonl", lambda calls: calls[0].update(notes=["see /home/someone/log.txt"]))
    run.lines("journal.jsonl", lambda records: records[0]["edit"].update(patch={"network": "/home/someone/net.pt"}))
    run.sum_up()


def test_nothing_is_sent_without_yes(hub: Any, publish: Publish, submission: Any, tmp_path: Path) -> None:
    machine_paths(submission)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = publish(token=None)
    assert done.exit_code == 0, done.output
    assert not hub.requests
    assert f"Data set {hub.address}/datasets/{NAME} (private)" in done.output
    assert "  run/journal.jsonl  " in done.output
    assert "Paths shortened to names in manifest.json: job.model, manifest.json: job." in done.output
    assert re.search(r"Nothing was sent\. Send it with: wildcore publish .* --yes\n$", done.output)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_what_is_sent_is_a_data_set_that_can_be_checked(
    hub: Any, publish: Publish, submission: Any, edits: Path, tmp_path: Path, wildcore_command: Command
) -> None:
    machine_paths(submission)
    sent = publish("--yes", "--license", "cc-by-4.0")
    assert sent.exit_code == 0, sent.output
    assert hub.private == {NAME: True}
    assert len(hub.commits) == 1
    files = hub.files[NAME]
    assert not [name for name, content in files.items() if b"/home/someone" in content or b"someone/models" in content]
    for name, content in files.items():
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_bytes(content)
    checked = wildcore_command("leaderboard", "check", tmp_path / "copy" / "run", "--dataset-file", edits)
    assert checked.exit_code == 0, checked.output
    _check_card(tmp_path / "copy")


def _check_card(folder: Path) -> None:
    card = DatasetCard.load(folder / "README.md")
    assert card.data.license == "cc-by-4.0"
    assert card.data.size_categories == "n<1K"
    assert "model-editing" in card.data.tags
    assert "| wild | reliability | exact-match |" in card.text
    for config in card.data.configs:
        assert (folder / config["data_files"]).is_file()
    cases = pq.read_table(folder / "data" / "cases.parquet").to_pylist()
    journal = [json.loads(line) for line in (folder / "run" / "journal.jsonl").read_text().splitlines()]
    assert len(cases) == sum(len(record["probes"]) for record in journal)
    first = journal[0]["probes"][0]
    assert cases[0]["question"] == first["question"]
    assert cases[0]["after"] == [answer["text"] for answer in first["after"]]
    assert pq.read_table(folder / "data" / "scores.parquet").num_rows == 36


def test_the_hub_s_own_library_reads_the_tables(publish: Publish, hub: Any, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    assert publish("--yes").exit_code == 0
    for name, content in hub.files[NAME].items():
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_bytes(content)
    loaded = datasets.load_dataset(str(tmp_path / "copy"), "scores", cache_dir=str(tmp_path / "cache"))
    assert loaded["train"].num_rows == 36


def test_a_run_without_paths_is_sent_as_it_is(hub: Any, publish: Publish, submission: Any) -> None:
    def relative(found: Json) -> None:
        found["job"]["settings"] = {"dataset.path": "edits.json"}
        found["job"]["model"] = "tiny-llama"
        found["identity"]["model"]["name"] = "tiny-llama"
        found["identity"]["dataset"]["params"]["path"] = "edits.json"

    submission.manifest(relative, summary_too=True)
    submission.sum_up()
    done = publish("--yes", "--public")
    assert done.exit_code == 0, done.output
    assert "The run names no path of this machine" in done.output
    assert hub.private == {NAME: False}
    for path in submission.path.iterdir():
        if path.suffix in (".json", ".jsonl"):
            assert hub.files[NAME][f"run/{path.name}"] == path.read_bytes()


def test_a_public_data_set_is_not_written_to_unasked(hub: Any, publish: Publish) -> None:
    hub.private[NAME] = False
    refused = publish("--yes")
    assert refused.exit_code == 2
    assert "the data set exists and is public, so everyone would see the run" in refused.output
    assert "choose another name, or add --public" in refused.output
    assert not hub.files


@pytest.mark.parametrize(
    ("token", "message"),
    [(None, "the hub needs a token, and HF_TOKEN is not set"), ("hf_wrong", "refused or cannot be reached (401")],
)
def test_without_a_valid_token_nothing_is_created(hub: Any, publish: Publish, token: str | None, message: str) -> None:
    done = publish("--yes", token=token)
    assert done.exit_code == 2
    assert message in done.output
    assert "hf_wrong" not in done.output
    assert not hub.private


def model_folder(tmp_path: Path, card: str | None = None) -> Path:
    folder = tmp_path / "edited-model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    if card is not None:
        (folder / "README.md").write_text(card)
    return folder


def one_patch(run: Any) -> None:
    """Let the run be the evaluation of a patch."""
    said = {"file": "patch.safetensors", "sha256": "0" * 64, "requests": 6, "seed": 0}
    run.manifest(lambda found: found["identity"]["editor"].update(patch=said), summary_too=True)
    run.manifest(lambda found: found["identity"]["dataset"]["params"].update(hub="owner/facts"), summary_too=True)
    run.sum_up()


def test_the_numbers_are_written_into_the_card_of_the_model(
    hub: Any, publish: Publish, submission: Any, tmp_path: Path
) -> None:
    one_patch(submission)
    submission.answer()
    folder = model_folder(tmp_path, "---\nlicense: mit\ntags:\n- mine\n---\nMy own words.\n")
    told = publish("--model-card", folder)
    assert f"Its numbers would be written into {folder / 'README.md'}" in told.output
    assert (folder / "README.md").read_text().startswith("---\nlicense: mit\ntags:\n- mine\n---\nMy own words.")
    for _ in range(2):  # the second time replaces its own results
        assert publish("--yes", "--model-card", folder).exit_code == 0
        card = ModelCard.load(folder / "README.md")
        assert card.data.license == "mit"
        assert "My own words." in card.text
        assert card.data.model_name == "edited-model"
        results = {one.metric_name: one for one in card.data.eval_results}
        assert len(results) == len(card.data.eval_results) == 6
    found = results["reliability under wild, exact-match"]
    assert (found.metric_value, found.metric_type, found.dataset_type) == (1.0, "exact_match", "owner/facts")
    assert found.source_url == f"{hub.address}/datasets/{NAME}"
    (file,) = (folder / ".eval_results").iterdir()
    entries = parse_eval_result_entries(yaml.safe_load(file.read_text()))
    assert {entry.task_id for entry in entries} >= {"wild-reliability", "synthetic-locality"}
    assert all(entry.dataset_id == "owner/facts" for entry in entries)


def test_edits_that_no_model_has_together_are_not_written_into_its_card(
    hub: Any, publish: Publish, tmp_path: Path
) -> None:
    done = publish("--yes", "--model-card", model_folder(tmp_path))
    assert done.exit_code == 2
    assert "its edits were evaluated apart from each other, so no model has these numbers" in done.output
    assert not hub.requests


def test_a_card_that_cannot_be_read_stops_before_anything_is_sent(
    hub: Any, publish: Publish, submission: Any, tmp_path: Path
) -> None:
    one_patch(submission)
    done = publish("--yes", "--model-card", model_folder(tmp_path, "---\n[: not yaml\n---\n"))
    assert done.exit_code == 2
    assert "its card cannot be read" in done.output
    assert not hub.requests


def test_from_a_process_of_its_own(hub: Any, submission: Any) -> None:
    """The token and the address of the hub come from the environment."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub.address, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}
    command = [sys.executable, "-m", "wildcore", "publish", str(submission.path), "--to-hub", NAME, "--yes"]
    sent = subprocess.run(command, env=environment, text=True, capture_output=True, timeout=120)
    assert sent.returncode == 0, sent.stderr
    assert f"Sent: {hub.address}/datasets/{NAME}" in sent.stdout
    assert TOKEN not in sent.stdout + sent.stderr
    assert set(hub.files[NAME]) > {"README.md", "run/manifest.json"}


@pytest.mark.parametrize("name", ["alone", "a/b/c", "owner/na me", "-x/y", "/x"])
def test_a_wrong_name_is_bad_input(submission: Any, wildcore_command: Command, name: str) -> None:
    done = wildcore_command("publish", submission.path, "--to-hub", name)
    assert done.exit_code == 2
    assert "not the name of a data set on the hub; give OWNER/NAME" in done.output


def test_a_file_that_still_names_the_home_folder_is_not_sent(
    submission: Any, wildcore_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/someone"))
    submission.manifest(lambda found: found["job"].update(added="x|/home/someone/y"))
    done = wildcore_command("publish", submission.path, "--to-hub", NAME)
    assert done.exit_code == 2
    assert "run/manifest.json names '/home/someone/', which tells who made the run" in done.output
