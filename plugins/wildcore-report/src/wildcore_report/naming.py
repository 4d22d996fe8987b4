"""Short names of runs, how each was obtained, and the command that makes it again."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from wildcore import Option, Setting, command
from wildcore.evaluation.schedules import description, short_description
from wildcore.jobs.spec import JobSpec
from wildcore.records.schema import Manifest, flatten
from wildcore_report.texts import cut

NOT_IN_NAMES = ("protocols", "batch_size", "continuation", "measurements")
"""Parts of a run's identity by which runs are not named: protocols are columns, and no score depends on the others."""
BASIC = ("model.name", "dataset.name", "schedule.edits")
"""What every run of a report is told apart by, if runs differ in it."""
MOST_IN_NAME = 3
NAME_CHARACTERS = 60
ONE_EACH = {"protocols": "protocol", "metrics": "metric", "added_metrics": "add-metric", "measurements": "measure"}
"""Fields of a job with several values, and the option that is given once for each."""
NEVER = "never"


def names(manifests: Sequence[Manifest]) -> list[str]:
    """Return a short name for each run: its editor; its model, dataset and schedule as far as runs differ in them; and what else
    tells it from other runs with the same editor. Runs that differ in nothing are numbered.
    """
    told = [_told_apart(manifest.identity) for manifest in manifests]
    editors = [editor_of(manifest.identity) for manifest in manifests]
    shared = _telling_apart(told, BASIC, [])
    found = []
    for editor, own in zip(editors, told, strict=True):
        alike = [other for name, other in zip(editors, told, strict=True) if name == editor]
        others = sorted({key for one in alike for key in one} - set(BASIC), key=_less_telling)
        said = [_in_words(key, own.get(key)) for key in _telling_apart(alike, others, shared)]
        found.append(cut(f"{editor} ({', '.join(said)})" if said else editor, NAME_CHARACTERS))
    return _numbered(found)


def editor_of(identity: Mapping[str, Any]) -> str:
    """Return the name of a run's editor with its transforms."""
    editor = identity.get("editor") or {}
    transforms = [str(one.get("name", "")) for one in editor.get("transforms", ()) if isinstance(one, Mapping)]
    return "+".join([str(editor.get("name", "patch")), *transforms])


def schedule_of(identity: Mapping[str, Any]) -> str:
    """Return a short name of a run's schedule."""
    schedule = identity.get("schedule")
    return short_description(schedule) if isinstance(schedule, Mapping) and "edits" in schedule else "single"


def how_obtained(manifest: Manifest) -> str:
    """Return in one line how a run was obtained."""
    identity = manifest.identity
    model, dataset = identity.get("model", {}), identity.get("dataset", {})
    schedule = identity.get("schedule", {})
    complete = {"edits", "judged", "model"} <= set(schedule)
    parts = [
        f"{editor_of(identity)} on {model.get('name')} ({model.get('dtype')}, {model.get('device')})",
        f"{manifest.case_count} cases of {dataset.get('name')} (hash {dataset.get('hash')})",
        description(schedule) if complete else schedule_of(identity),
        f"seed {identity.get('seed', manifest.job.get('seed', 0))}",
        f"wildcore {manifest.versions.get('wildcore', 'of unknown version')}",
        f"begun {time_in_words(manifest.created)}",
    ]
    return "; ".join(parts)


def time_in_words(text: str) -> str:
    """Return a time of a manifest to the minute; as it is, if it is not in ISO form with its zone."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return text
    return text if time.tzinfo is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def command_of(manifest: Manifest) -> str:
    """Return the command that makes a run again, as far as options say: what differs from the defaults. Protocols from the user's
    own files are named by their names, since the files are not kept.
    """
    job = manifest.job
    words: list[str | Option | Setting] = ["eval"]
    for name, field in JobSpec.model_fields.items():
        value = job.get(name)
        if name in ("settings", "own_protocols") or value == field.get_default(call_default_factory=True):
            continue
        if name in ONE_EACH and isinstance(value, Sequence):
            words += [Option(ONE_EACH[name], one) for one in value]
        elif name == "where" and isinstance(value, Mapping):
            words += [Option(name, f"{tag}={wanted}") for tag, wanted in value.items()]
        elif name == "checkpoint_every" and value is None:
            words.append(Option(name, NEVER))
        elif value not in (None, False, "", [], ()) and not (name == "editor" and job.get("patch")):
            words.append(Option(name, value))
    settings = job.get("settings")
    words += [Setting(key, value) for key, value in (settings if isinstance(settings, Mapping) else {}).items()]
    return command(*words)


def _told_apart(identity: Mapping[str, Any]) -> dict[str, Any]:
    return flatten({name: value for name, value in identity.items() if name not in NOT_IN_NAMES})


def _telling_apart(runs: Sequence[Mapping[str, Any]], keys: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """Return the ``chosen`` keys and those further ones that tell more runs apart, up to ``MOST_IN_NAME`` in all."""
    found = list(chosen)
    for key in keys:
        if len(found) < MOST_IN_NAME and _kinds(runs, [*found, key]) > _kinds(runs, found):
            found.append(key)
    return found


def _kinds(runs: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> int:
    return len({tuple(str(run.get(key)) for key in keys) for run in runs})


def _less_telling(key: str) -> tuple[bool, str]:
    """Order keys by whether people can read their values."""
    return "hash" in key or "fingerprint" in key, key


def _in_words(key: str, value: Any) -> str:
    if key in BASIC:
        return cut(str(value), 24)
    return f"{key.rpartition('.')[2]}={cut(str(value), 16)}"


def _numbered(found: Sequence[str]) -> list[str]:
    counts, seen = Counter(found), Counter[str]()
    unique = []
    for name in found:
        seen[name] += 1
        unique.append(f"{name} #{seen[name]}" if counts[name] > 1 else name)
    return unique
