"""The specification of a job: its settings, and which module each of them is for."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, field_validator

from wildcore.bounded import load_yaml
from wildcore.errors import Setting, UserError, in_one_line, suggestion
from wildcore.evaluation.judging import JudgeAt
from wildcore.evaluation.schedules import SECONDS_BETWEEN_SAVES, ScheduleName
from wildcore.home import expanded
from wildcore.registry import OFFER_HOOKS, Registry
from wildcore.scripts import SeparatorChoice
from wildcore.types import EvalProtocol, FrozenData

SECTIONS = tuple(kind for kind in OFFER_HOOKS if kind not in ("model", "segmenter"))
TRANSFORM_SEPARATOR = "+"
"""Separates an editor from the transforms of what it writes: EDITOR+TRANSFORM+TRANSFORM."""

CONTINUATION = 40
"""Default number of characters for which an edited model continues after its answer to an edit prompt."""


class Settings(FrozenData):
    """Values of modules' parameters: "section.parameter" or "section.name.parameter" maps to one."""

    settings: Mapping[str, Any] = {}


class Seed(FrozenData):
    """The seed of what editors draw at random, such as prefixes and initial values."""

    seed: int = Field(default=0, ge=0, lt=2**63)


class SampleSeed(FrozenData):
    """The seed by which data are drawn: the cases, the examples that a context shows, and the probes of hard locality."""

    sample_seed: int = Field(default=0, ge=0, lt=2**63)


class ModelChoice(FrozenData):
    """Which model to load, and how."""

    model: str
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    device_map: str | None = None
    trust_remote_code: bool = False
    merge_adapter: bool = False

    @field_validator("model")
    @classmethod
    def _from_home(cls, model: str) -> str:
        return expanded(model)


class EditorChoice(Settings):
    """Which editor to use; ``as_published`` runs it like its published code."""

    editor: str
    as_published: bool = False


class Selection(SampleSeed):
    """Which cases of a dataset to use."""

    where: Mapping[str, str] = {}
    limit: int | None = Field(default=None, ge=1)
    sample: int | None = Field(default=None, ge=1)
    skip_malformed: bool = False


class CaseChoice(Selection, Settings):
    """Which cases to use, and from which dataset."""

    dataset: str


class ProtocolChoice(Settings):
    """Under which protocols to ask, and which modules to replace in them; ``own_protocols`` were read from the user's files."""

    protocols: tuple[str, ...]
    own_protocols: tuple[EvalProtocol, ...] = ()
    context: str | None = None
    generator: str | None = None
    truncator: str | None = None
    metrics: tuple[str, ...] = ()


class BatchSize(FrozenData):
    """The most prompts in one batch."""

    batch_size: int = Field(default=32, ge=1)


class TargetSeparator(FrozenData):
    """What stands between a prompt and its target: by the script of the prompt, always a space, or nothing."""

    target_separator: SeparatorChoice = "auto"


class HardLocality(SampleSeed):
    """How many probes of hard locality, of each sort, each case gets at most, found in the whole dataset (0: none)."""

    hard_locality: int = Field(default=0, ge=0)


class EditJob(ModelChoice, EditorChoice, Seed, TargetSeparator):
    """Writes facts into a patch; ``trace`` records what happens inside each edit."""

    skip_malformed: bool = False
    trace: bool = False


class PrepareJob(ModelChoice, EditorChoice, Selection, Seed, TargetSeparator):
    """Computes what an editor needs once for a model; ``dataset`` contains cases to train on (None: no dataset is named)."""

    dataset: str | None = None


class AuditJob(HardLocality, CaseChoice, ProtocolChoice, BatchSize, TargetSeparator):
    """Audits a dataset under protocols; ``model`` is asked what it already knows (None: no model is asked)."""

    model: ModelChoice | None = None


class AskJob(ProtocolChoice, SampleSeed, BatchSize, TargetSeparator):
    """Asks questions under a protocol; ``dataset`` serves contexts that show examples of it (None: no dataset)."""

    dataset: str | None = None


class JobSpec(HardLocality, Seed, TargetSeparator, BatchSize, ProtocolChoice, CaseChoice, EditorChoice, ModelChoice):
    """One run, as the user specified it and as its manifest stores it. It has the fields of all its base classes.

    ``patch`` is the file of a patch to evaluate, and ``editor`` the editor that made it; ``dataset`` is empty if the patch is
    evaluated on its own facts. ``added_metrics`` score in addition to the protocols' own. ``only_failures`` names the protocol
    of the failure filter. ``edits_per_update`` None: the schedule's default. ``judge_at`` is when the cases of a sequence are
    evaluated, ``edit_order`` the seed by which edits that are written together are shuffled (None: the order of the dataset).
    ``measurements`` are made at judging points; ``stop_when_collapsed`` ends a sequence at the first signs of a collapse.
    ``checkpoint_every`` is the least number of seconds between checkpoints of a sequence (None: none is saved). ``trace``
    records what happens inside each edit.
    """

    patch: str | None = None
    added_metrics: tuple[str, ...] = ()
    trace: bool = False
    only_failures: str | None = None
    schedule: ScheduleName = "single"
    edits_per_update: int | None = Field(default=None, ge=1)
    judge_at: str = "end"
    edit_order: int | None = Field(default=None, ge=0, lt=2**63)
    measurements: tuple[str, ...] = ()
    stop_when_collapsed: bool = False
    checkpoint_every: float | None = Field(default=SECONDS_BETWEEN_SAVES, ge=0)
    continuation: int = CONTINUATION
    parallel: str = Field(default="auto", pattern="^(auto|0*[1-9][0-9]*)$")

    @field_validator("judge_at")
    @classmethod
    def _in_normal_form(cls, judge_at: str) -> str:
        return str(JudgeAt.parse(judge_at))


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``section.parameter=value`` pairs; values are YAML scalars or lists. Raises ``UserError`` for any other form."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        require_setting_name(key if equals else "", pair)
        if key in settings:
            raise UserError(f"{key} is set twice", about=Setting(pair))
        try:
            settings[key] = load_yaml(value)
        except ValueError as error:
            raise UserError(f"the value cannot be used: {error}", Setting(in_one_line(pair))) from error
    return settings


def require_setting_name(key: str, given: str) -> None:
    """Raise ``UserError`` quoting ``given``, unless ``key`` is SECTION.PARAMETER or SECTION.NAME.PARAMETER."""
    parts = key.split(".")
    if len(parts) not in (2, 3) or not all(parts):
        form = ("write ", Setting("SECTION.PARAMETER", "VALUE"), ", such as ", Setting("editor.layer", 5))
        raise UserError(form, about=Setting(given))
    if parts[0] not in SECTIONS:
        raise UserError(f"unknown section {parts[0]!r}", Setting(given), suggestion(parts[0], list(SECTIONS)))


def refuse_unused_settings(settings: Mapping[str, Any], used: Mapping[str, set[str]]) -> None:
    """Raise ``UserError`` for a setting of a section that the job does not use, or "section.name.parameter" of an unused name."""
    for key in settings:
        section, *rest = key.split(".")
        if not used.get(section):
            raise UserError(f"no {section} takes part here", Setting(key), "leave it out")
        if len(rest) == 2 and rest[0] not in used[section]:
            raise UserError(
                f"this run uses no {section} {rest[0]!r}", Setting(key), suggestion(rest[0], sorted(used[section]))
            )


def settings_for(settings: Mapping[str, Any], section: str, names: Sequence[str]) -> dict[str, Any]:
    """Return the settings for the module called by any of ``names``: those of its section, overridden by those of its names.

    Raises ``UserError`` for a parameter that is set under two names of the module.
    """
    shared, own = {}, {}
    for key, value in settings.items():
        parts = key.split(".")
        if parts[0] == section and len(parts) == 2:
            shared[parts[1]] = value
        elif parts[0] == section and parts[1] in names:
            if parts[2] in own:
                raise UserError(
                    f"{parts[2]} is set under another name of this {section} too", Setting(key), "leave one out"
                )
            own[parts[2]] = value
    return shared | own


def names_used(
    registry: Registry,
    editors: Sequence[str],
    dataset: str | None = None,
    metrics: Sequence[str] = (),
    measurements: Sequence[str] = (),
) -> dict[str, set[str]]:
    """Return the names of the modules used, by section, as ``refuse_unused_settings`` expects them."""
    used: dict[str, set[str]] = {
        "editor": set(),
        "transform": set(),
        "dataset": set(),
        "metric": {one for metric in metrics for one in registry.names("metric", metric)},
        "measurement": {one for name in measurements for one in registry.names("measurement", name)},
    }
    for name in editors:
        editor, *transforms = name.split(TRANSFORM_SEPARATOR)
        used["editor"] |= registry.names("editor", editor)
        used["transform"] |= {one for transform in transforms for one in registry.names("transform", transform)}
    if dataset:
        used["dataset"] = registry.names("dataset", dataset)
    return used
