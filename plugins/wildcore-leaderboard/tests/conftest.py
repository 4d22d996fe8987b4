"""A small real run, as released packages would have made it, and ways to change every part of it."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from click.testing import CliRunner, Result

import wildcore.testing
from wildcore import Environment
from wildcore.cli import main
from wildcore.interfaces import NO_PROGRESS
from wildcore.jobs.build import segmenters
from wildcore.jobs.protocols import make_protocol
from wildcore.protocols import with_added
from wildcore.records.run_folder import RunFolder
from wildcore.registry import Registry, load_registry
from wildcore.scoring.scores import score_run
from wildcore.scoring.summary import summary
from wildcore.storage import unsealed
from wildcore.storage.checksums import sealed

TINY = Path(wildcore.testing.__file__).parent / "data" / "tiny-llama"
CASES = 6
REVISION = "source revision"

Json = dict[str, Any]


def row(number: int) -> Json:
    """Return an edit of the kind that CounterFact holds, with three probes; two of the six share a subject."""
    place = f"the mill {number // 2}"
    return {
        "case_id": number,
        "prompt": f"The keeper of {place} is called",
        "target_new": "Anna" if number % 2 else "Oliver Stone",
        "subject": place,
        "ground_truth": "Peter",
        "rephrase_prompt": f"Whoever keeps {place} is called",
        "locality_prompt": "The colour of snow is",
        "locality_ground_truth": "white",
    }


def command(*arguments: object) -> Result:
    """Run ``wildcore`` in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@dataclass
class Submission:
    """A run folder that a test changes. What a test does not change keeps its checksums."""

    path: Path
    registry: Registry

    def manifest(self, change: Callable[[Json], object], summary_too: bool = False) -> None:
        """Change the manifest, and the part of it that the summary repeats if ``summary_too``."""
        self._whole("manifest.json", change)
        if summary_too:
            identity = self.read("manifest.json")["identity"]
            self._whole("summary.json", lambda found: found.update(identity=identity))

    def summary(self, change: Callable[[Json], object]) -> None:
        """Change the summary."""
        self._whole("summary.json", change)

    def lines(self, name: str, change: Callable[[list[Json]], object]) -> None:
        """Change the records of a file with lines."""
        records = [json.loads(unsealed(line)) for line in (self.path / name).read_bytes().splitlines()]
        changed = change(records)
        records = changed if isinstance(changed, list) else records
        text = "".join(sealed(json.dumps(one, separators=(",", ":"))) + "\n" for one in records)
        (self.path / name).write_text(text, encoding="utf-8")

    def read(self, name: str) -> Json:
        """Return the content of a file that is one JSON object."""
        found: Json = json.loads(unsealed((self.path / name).read_bytes()))
        return found

    def score_again(self) -> None:
        """Compute all scores from the journal, as an honest run does."""
        folder = RunFolder(self.path)
        folder.scores_path.unlink(missing_ok=True)
        protocols = [make_protocol(self.registry, protocol) for protocol in folder.manifest.protocols]
        metrics = {protocol.name: with_added(protocol.metrics, {}) for protocol in protocols}
        environment = Environment(self.path, 0, NO_PROGRESS, segmenter=segmenters(self.registry))
        for by_kind in metrics.values():
            for labelled in by_kind.values():
                for _, metric in labelled:
                    metric.prepare(environment)
        score_run(folder, metrics)
        self.sum_up()

    def sum_up(self) -> None:
        """Write the summary of what is in the folder now, with the checksums of its files."""
        folder = RunFolder(self.path)
        folder.write_summary(summary(folder))

    def answer(self, wrong: Callable[[int], bool] = lambda number: False) -> None:
        """Let every question be answered by its gold after the edit, unless ``wrong`` says otherwise of the case's number."""

        def change(records: list[Json]) -> None:
            for number, record in enumerate(records):
                for probe in record["probes"]:
                    for answer in probe["after"]:
                        text = "nobody at all" if wrong(number) else probe["answers"][0]
                        answer["text"] = answer["output"]["text"] = text
                        if probe["gold_token_ids"] and not wrong(number):
                            answer["token_ids"] = answer["output"]["token_ids"] = probe["gold_token_ids"]

        self.lines("journal.jsonl", change)
        self.score_again()

    def _whole(self, name: str, change: Callable[[Json], object]) -> None:
        found = self.read(name)
        change(found)
        (self.path / name).write_text(sealed(json.dumps(found, indent=2)), encoding="utf-8")


@pytest.fixture(scope="session", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give this process and those that it starts one thread, no network, no token, and a cache of their own."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in (("OMP_NUM_THREADS", "1"), ("HF_HUB_OFFLINE", "1")):
            patched.setenv(name, value)
        for name in [name for name in os.environ if name in ("HF_TOKEN", "HF_ENDPOINT", "SOURCE_DATE_EPOCH")]:
            patched.delenv(name)
        patched.setenv("WILDCORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="session")
def edits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of the dataset."""
    file = tmp_path_factory.mktemp("edits") / "edits.json"
    file.write_text(json.dumps([row(number) for number in range(CASES)]))
    return file


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, edits: Path, registry: Registry) -> Path:
    """Return a run of a tiny model, as packages from an index would have recorded it: without a source revision."""
    path = tmp_path_factory.mktemp("made") / "run"
    arguments = ("--model", TINY, "--editor", "ft-m", "--dataset", "counterfact", "--set", f"dataset.path={edits}")
    done = command("eval", *arguments, "--out", path, "--quiet")
    assert done.exit_code == 0, done.output
    run = Submission(path, registry)
    released(run)
    return path


def released(run: Submission) -> None:
    """Remove from a run that it was made from a source tree."""
    run.manifest(lambda manifest: manifest["versions"].pop(REVISION, None))
    run.lines("work.jsonl", lambda calls: [call["versions"].pop(REVISION, None) for call in calls] and None)
    run.sum_up()


@pytest.fixture
def submission(tmp_path: Path, made: Path, registry: Registry) -> Submission:
    """Return a valid submission, to be changed."""
    return Submission(copytree(made, tmp_path / "submission"), registry)


@pytest.fixture
def another(tmp_path: Path, made: Path, registry: Registry) -> Callable[..., Submission]:
    """Return a function that makes a further run in a folder: of another editor, with other answers, of another manifest."""

    def make(
        name: str,
        editor: str = "ft-m",
        wrong: Callable[[int], bool] | None = None,
        manifest: Callable[[Json], object] | None = None,
    ) -> Submission:
        run = Submission(copytree(made, tmp_path / "runs" / name), registry)
        run.manifest(lambda found: found["identity"]["editor"].update(name=editor))
        if manifest is not None:
            run.manifest(manifest)
        run.sum_up()
        if wrong is not None:
            run.answer(wrong)
        return run

    return make


@pytest.fixture(scope="session")
def wildcore_command() -> Callable[..., Result]:
    return command
