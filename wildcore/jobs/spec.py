"""What a job was asked for: its settings, and which module each of them reaches."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from pydantic import Field

from wildcore.errors import UserError, nearest
from wildcore.evaluation.schedules import ScheduleName
from wildcore.registry import OFFER_HOOKS
from wildcore.types import EvalProtocol, Record

SECTIONS = tuple(kind for kind in OFFER_HOOKS if kind != "model")
AND = "+"
"""Parts an editor from the transforms to apply to what it writes: EDITOR+TRANSFORM+TRANSFORM."""

CONTINUATION = 40
"""Characters for which an edited model goes on after its answer to an edit prompt, unless a job says otherwise."""


class Settings(Record):
    """Values of modules' parameters: "section.parameter" or "section.name.parameter" maps to one."""

    settings: Mapping[str, Any] = {}


class Seed(Record):
    """The seed of everything that is drawn."""

    seed: int = Field(default=0, ge=0, lt=2**63)


class ModelChoice(Record):
    """Which model to load, and how."""

    model: str
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    device_map: str | None = None
    trust_remote_code: bool = False


class EditorChoice(Settings):
    """Which editor to make; ``as_published`` runs it as its published code has it."""

    editor: str
    as_published: bool = False


class Selection(Seed):
    """Which cases of a dataset to take."""

    where: Mapping[str, str] = {}
    limit: int | None = Field(default=None, ge=1)
    sample: int | None = Field(default=None, ge=1)
    skip_malformed: bool = False


class CaseChoice(Selection, Settings):
    """Which cases to take, and from which dataset."""

    dataset: str


class ProtocolChoice(Settings):
    """Under which protocols to ask, and what replaces modules in them; ``own_protocols`` are those of files."""

    protocols: tuple[str, ...]
    own_protocols: tuple[EvalProtocol, ...] = ()
    context: str | None = None
    generator: str | None = None
    truncator: str | None = None
    metrics: tuple[str, ...] = ()


class BatchSize(Record):
    """The most prompts in one batch."""

    batch_size: int = Field(default=32, ge=1)


class EditJob(ModelChoice, EditorChoice, Seed):
    """Facts written into a patch; ``trace`` keeps what happens inside each edit."""

    skip_malformed: bool = False
    trace: bool = False


class PrepareJob(ModelChoice, EditorChoice, Selection):
    """What an editor needs once for a model, made ahead; ``dataset`` holds cases to train on, None where none is named."""

    dataset: str | None = None


class AuditJob(CaseChoice, ProtocolChoice, BatchSize):
    """A dataset looked through under protocols; ``model`` is the one to ask, None for none."""

    model: ModelChoice | None = None


class AskJob(ProtocolChoice, Seed, BatchSize):
    """Questions asked under a protocol; ``dataset`` serves contexts that show examples of one."""

    dataset: str | None = None


class JobSpec(BatchSize, ProtocolChoice, CaseChoice, EditorChoice, ModelChoice):
    """One run as it was asked for, and as its manifest holds it: the fields of all parts beside each other.

    ``patch`` is the file of a patch to judge, which ``editor`` made, and ``dataset`` is then empty where the patch is judged on
    its own facts; ``added_metrics`` score besides the protocols' own;
    ``only_failures`` names the protocol of the failure filter; ``edits_per_update`` is None for what the schedule usually has;
    ``trace`` keeps what happens inside each edit.
    """

    patch: str | None = None
    added_metrics: tuple[str, ...] = ()
    trace: bool = False
    only_failures: str | None = None
    schedule: ScheduleName = "single"
    edits_per_update: int | None = Field(default=None, ge=1)
    continuation: int = CONTINUATION
    parallel: str = Field(default="auto", pattern="^(auto|0*[1-9][0-9]*)$")


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``section.parameter=value`` pairs; values are YAML scalars or lists. Raises ``UserError`` for any other form."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        require_setting_name(key if equals else "", pair)
        if key in settings:
            raise UserError(f"--set {pair}: {key} is set twice")
        try:
            settings[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"--set {pair}: the value is not valid YAML: {' '.join(str(error).split())}") from error
    return settings


def require_setting_name(key: str, given: str) -> None:
    """Raise ``UserError`` that quotes what was ``given``, unless ``key`` is SECTION.PARAMETER or SECTION.NAME.PARAMETER."""
    parts = key.split(".")
    if len(parts) not in (2, 3) or not all(parts):
        raise UserError(f"--set {given}: write --set SECTION.PARAMETER=VALUE, such as --set editor.layer=5")
    if parts[0] not in SECTIONS:
        raise UserError(f"--set {given}: unknown section {parts[0]!r}; {nearest(parts[0], list(SECTIONS))}")


def check_names(settings: Mapping[str, Any], used: Mapping[str, set[str]]) -> None:
    """Refuse a setting of a section, or "section.name.parameter" of a name, that takes no part in the job."""
    for key in settings:
        section, *rest = key.split(".")
        if not used.get(section):
            raise UserError(f"--set {key}: no {section} takes part here; leave it away")
        if len(rest) == 2 and rest[0] not in used[section]:
            raise UserError(
                f"--set {key}: this run uses no {section} {rest[0]!r}; {nearest(rest[0], sorted(used[section]))}"
            )


def settings_for(settings: Mapping[str, Any], section: str, name: str) -> dict[str, Any]:
    """Return the settings that reach the module ``name``: those of its section, then those of its name."""
    shared, own = {}, {}
    for key, value in settings.items():
        parts = key.split(".")
        if parts[0] == section and len(parts) == 2:
            shared[parts[1]] = value
        elif parts[0] == section and parts[1] == name:
            own[parts[2]] = value
    return shared | own


def names_used(editors: Sequence[str], dataset: str | None = None, metrics: Sequence[str] = ()) -> dict[str, set[str]]:
    """Return the names of the modules that take part, by section, as ``check_names`` takes them."""
    parts = [[own_name(part) for part in editor.split(AND)] for editor in editors]
    return {
        "editor": {own[0] for own in parts},
        "transform": {name for own in parts for name in own[1:]},
        "dataset": {own_name(dataset)} if dataset else set(),
        "metric": {own_name(metric) for metric in metrics},
    }


def own_name(name: str) -> str:
    """Return ``name`` of ``name`` or ``plugin/name``."""
    return name.split("/")[-1]
