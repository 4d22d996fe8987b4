"""The specification of a job: its settings, and which module each of them is for."""

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
"""Separates an editor from the transforms of what it writes: EDITOR+TRANSFORM+TRANSFORM."""

CONTINUATION = 40
"""Default number of characters for which an edited model continues after its answer to an edit prompt."""


class JobSpec(Record):
    """One run as specified by the user.

    ``settings`` maps "section.parameter" or "section.name.parameter" to a value. ``own_protocols`` are those read from files.
    ``patch`` is the file of a patch to evaluate, and ``editor`` the editor that made it; ``dataset`` is empty if the patch is
    evaluated on its own facts. ``added_metrics`` score in addition to the protocols' own. ``only_failures`` names the protocol
    of the failure filter. ``edits_per_update`` None: the schedule's default. ``as_published`` runs the editor like its
    published code. ``trace`` records what happens inside each edit.
    """

    model: str
    dataset: str
    editor: str
    patch: str | None = None
    protocols: tuple[str, ...]
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    device_map: str | None = None
    trust_remote_code: bool = False
    own_protocols: tuple[EvalProtocol, ...] = ()
    context: str | None = None
    generator: str | None = None
    truncator: str | None = None
    metrics: tuple[str, ...] = ()
    added_metrics: tuple[str, ...] = ()
    settings: Mapping[str, Any] = {}
    as_published: bool = False
    trace: bool = False
    where: Mapping[str, str] = {}
    limit: int | None = Field(default=None, ge=1)
    sample: int | None = Field(default=None, ge=1)
    skip_malformed: bool = False
    only_failures: str | None = None
    schedule: ScheduleName = "single"
    edits_per_update: int | None = Field(default=None, ge=1)
    continuation: int = CONTINUATION
    seed: int = Field(default=0, ge=0, lt=2**63)
    batch_size: int = Field(default=32, ge=1)
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
    """Raise ``UserError`` quoting ``given``, unless ``key`` is SECTION.PARAMETER or SECTION.NAME.PARAMETER."""
    parts = key.split(".")
    if len(parts) not in (2, 3) or not all(parts):
        raise UserError(f"--set {given}: write --set SECTION.PARAMETER=VALUE, such as --set editor.layer=5")
    if parts[0] not in SECTIONS:
        raise UserError(f"--set {given}: unknown section {parts[0]!r}; {nearest(parts[0], list(SECTIONS))}")


def check_names(settings: Mapping[str, Any], used: Mapping[str, set[str]]) -> None:
    """Raise ``UserError`` for a setting of a section that the job does not use, or "section.name.parameter" of an unused name."""
    for key in settings:
        section, *rest = key.split(".")
        if not used.get(section):
            raise UserError(f"--set {key}: no {section} takes part here; leave it out")
        if len(rest) == 2 and rest[0] not in used[section]:
            raise UserError(
                f"--set {key}: this run uses no {section} {rest[0]!r}; {nearest(rest[0], sorted(used[section]))}"
            )


def settings_for(settings: Mapping[str, Any], section: str, name: str) -> dict[str, Any]:
    """Return the settings for the module ``name``: those of its section, overridden by those of its name."""
    shared, own = {}, {}
    for key, value in settings.items():
        parts = key.split(".")
        if parts[0] == section and len(parts) == 2:
            shared[parts[1]] = value
        elif parts[0] == section and parts[1] == name:
            own[parts[2]] = value
    return shared | own


def names_used(editors: Sequence[str]) -> dict[str, set[str]]:
    """Return the names of the editors and transforms used, by section, in the form that ``check_names`` takes."""
    parts = [[own_name(part) for part in editor.split(AND)] for editor in editors]
    return {"editor": {own[0] for own in parts}, "transform": {name for own in parts for name in own[1:]}}


def own_name(name: str) -> str:
    """Return ``name``, without the plugin in ``plugin/name``."""
    return name.split("/")[-1]
