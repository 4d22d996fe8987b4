"""A closed-form editor with transforms, on the embedded model: run, compared, taken up again, written into a patch."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from wildcore.patches import Dense, LowRank
from wildcore.patches.files import read_patch

Wildcore = Callable[..., subprocess.CompletedProcess[str]]
SHARE = 0.25
SETTINGS = ("--set", f"transform.rect.share={SHARE}", "--set", "editor.steps=3")


def test_an_editor_with_and_without_transforms(wildcore: Wildcore, tmp_path: Path) -> None:
    editors = ("--editor", "memit", "--editor", "memit+norm-anchor+rect")
    done = wildcore("eval", *editors, *SETTINGS, "--limit", 2, "--protocol", "synthetic", "--out", tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    assert "\n2    memit+norm-anchor+rect" in done.stdout
    assert "\nmemit+norm-anchor+rect: " in done.stdout
    changed = tmp_path / "runs" / "memit+norm-anchor+rect"
    identity = json.loads((changed / "manifest.json").read_text())["identity"]["editor"]
    assert [transform["name"] for transform in identity["transforms"]] == ["norm-anchor", "rect"]
    assert identity["transforms"][1]["params"] == {"share": SHARE}
    norms = [
        [json.loads(line)["edit"]["patch"]["change_norm"] for line in (run / "journal.jsonl").read_text().splitlines()]
        for run in (tmp_path / "runs" / "memit", changed)
    ]
    assert len(norms[1]) == 2
    assert all(abs(found - whole) > 0.01 * whole for whole, found in zip(*norms, strict=True))

    journal = (changed / "journal.jsonl").read_bytes()
    (changed / "journal.jsonl").write_bytes(journal.splitlines(keepends=True)[0])
    again = wildcore("eval", "--resume", changed, "--quiet")
    assert again.returncode == 0, again.stderr
    assert len((changed / "journal.jsonl").read_text().splitlines()) == 2
    other = wildcore("eval", "--resume", changed, "--set", "transform.rect.share=0.5")
    assert other.returncode == 2
    assert "editor.transforms.1.params.share was 0.25 and is now 0.5" in " ".join(other.stderr.split())


def test_a_run_does_not_go_on_with_other_facts_to_measure_on(wildcore: Wildcore, tmp_path: Path) -> None:
    facts, folder = tmp_path / "facts.jsonl", tmp_path / "run"
    facts.write_text('{"prompt": "The capital of France is", "target": "Rome", "subject": "France"}\n')
    given = ("--editor", "rome+norm-anchor", "--set", f"transform.norm-anchor.facts={facts}", "--set", "editor.steps=3")
    done = wildcore("eval", *given, "--limit", 2, "--protocol", "synthetic", "--out", folder)
    assert done.returncode == 0, done.stderr
    assert "norm-anchor: the reference norm is" in done.stderr
    (hashes,) = json.loads((folder / "manifest.json").read_text())["identity"]["editor"]["taken"]["transforms"]
    journal = folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0])
    facts.write_text(facts.read_text().replace("Rome", "Oslo"))
    refused = wildcore("eval", "--resume", folder)
    assert refused.returncode == 2
    wanted = f"editor.taken.transforms.0.facts was {hashes['facts']!r} and is now "
    assert wanted in " ".join(refused.stderr.split())


def test_a_patch_made_with_a_transform_says_so(wildcore: Wildcore, tmp_path: Path) -> None:
    facts = tmp_path / "facts.jsonl"
    facts.write_text('{"prompt": "The capital of France is", "target": "Rome", "subject": "France"}\n')
    changes = []
    for editor in ("memit", "memit+rect"):
        patch = tmp_path / f"{editor}.safetensors"
        settings = SETTINGS if "rect" in editor else SETTINGS[2:]
        done = wildcore("edit", "--editor", editor, *settings, "--edits", facts, "--out", patch, "--quiet")
        assert done.returncode == 0, done.stderr
        changes.append(read_patch(patch).weights().changes)
    manifest = read_patch(tmp_path / "memit+rect.safetensors").manifest
    assert [transform["name"] for transform in manifest.editor["transforms"]] == ["rect"]
    assert all(isinstance(change, LowRank) for change in changes[0].values())
    for change in changes[1].values():
        assert isinstance(change, Dense)
        assert abs(float((change.change != 0).float().mean()) - SHARE) < 0.01


def test_a_transform_is_refused_where_the_method_takes_none(wildcore: Wildcore, tmp_path: Path) -> None:
    facts = tmp_path / "facts.jsonl"
    facts.write_text('{"prompt": "The capital of France is", "target": "Rome"}\n')
    for command in (("eval", "--limit", 1), ("edit", "--edits", facts)):
        done = wildcore(*command, "--editor", "ike+rect", "--out", tmp_path / "made")
        assert done.returncode == 2
        wanted = "editor ike (plugin ike): a method that is not closed-form takes no transforms"
        assert wanted in " ".join(done.stderr.split())
        assert not (tmp_path / "made").exists()
