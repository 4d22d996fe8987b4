"""Describes a model without loading its weights."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from wildcore.architectures import Family
from wildcore.errors import Message
from wildcore.jobs.build import model_request
from wildcore.jobs.chat import in_chat
from wildcore.jobs.spec import ModelChoice
from wildcore.models.family_guess import guess_family
from wildcore.models.hints import weights_problem
from wildcore.models.loaded import shape_of
from wildcore.models.loading import dtype_name, find_files, load_config
from wildcore.models.memory import parameter_count, parameter_count_of, stored_dtypes, weight_files
from wildcore.models.quantised import Quantisation, holds_ordinary_weights, quantisation
from wildcore.models.reading import notes_on, read_tokenizer
from wildcore.models.sources import ModelFiles
from wildcore.params import EditorParams
from wildcore.registry import Registry

NOT_SAID = "not said by config.json"


@dataclass(frozen=True)
class ModelFacts:
    """Facts about a model folder. ``facts`` are named properties in the order in which they are shown. ``problems`` say what
    prevents editing the model, and what to do. ``family_lines`` is the code of a plugin that adds an unknown family, if its
    parts were found.
    """

    name: str
    folder: str
    facts: Mapping[str, Message]
    problems: tuple[Message, ...] = ()
    family_lines: str | None = None


def describe_model(registry: Registry, name: str) -> ModelFacts:
    """Describe an embedded model, a local folder or a hub model. Raises ``UserError`` if it is not a model."""
    request = model_request(registry, ModelChoice(model=name))
    files = find_files(request, weights=False)
    folder, config = files.folder, load_config(request, files.folder)
    found = _Found(registry, files, config)
    found.describe_network()
    found.describe_weights()
    found.describe_tokenizer()
    found.describe_presets()
    return ModelFacts(
        name=name,
        folder=str(folder),
        facts=found.facts,
        problems=tuple(found.problems),
        family_lines=found.family_lines,
    )


class _Found:
    """Collects the facts about one model."""

    def __init__(self, registry: Registry, files: ModelFiles, config: Any) -> None:
        self.registry, self.files, self.config = registry, files, config
        self.request, self.folder = files.request, files.folder
        self.facts: dict[str, Message] = {}
        self.problems: list[Message] = []
        self.family_lines: str | None = None

    def describe_network(self) -> None:
        model_type, family = self.config.model_type, self.registry.families.get(self.config.model_type)
        self.facts["family"] = model_type if family else f"{model_type}, which is not known"
        named = {
            "layers": "num_hidden_layers",
            "width": "hidden_size",
            "vocabulary": "vocab_size",
            "context length": "max_position_embeddings",
        }
        for label, attribute in named.items():
            value = getattr(self.config, attribute, None)
            self.facts[label] = str(value) if value else NOT_SAID
        if family:
            self.facts["MLP output"] = f"{family.layers}.LAYER.{family.mlp_output}"
            return
        known = ", ".join(sorted(self.registry.families))
        guessed = guess_family(self.config)
        lines = (
            "with these lines, found from the network's modules; check them:" if guessed else "which names its parts"
        )
        self.problems.append(
            f"the family {model_type} is not known (known: {known}); a plugin adds it (CONTRIBUTING.md says how), {lines}"
        )
        self.family_lines = plugin_lines(guessed) if guessed else None

    def describe_weights(self) -> None:
        self.facts["dtype"] = self._dtype_named()
        if self.files.gguf:
            self.facts["weights"] = (
                f"{parameter_count_of(self.config) / 1e6:,.1f} million parameters, in {self.files.gguf}"
            )
            return
        how, problem = quantisation(self.config, self.folder), weights_problem(self.folder)
        is_local = self.request.folder is not None or Path(self.request.name).is_dir()
        if problem and not is_local:
            self.facts["weights"] = "not downloaded yet"
        elif problem:
            self.problems.append(problem)
        else:
            files = weight_files(self.folder)
            size, count = sum(file.stat().st_size for file in files), parameter_count(self.folder)
            shards = f" in {len(files)} files" if len(files) > 1 else ""
            self.facts["weights"] = f"{count / 1e6:,.1f} million parameters, {size / 2**20:,.1f} MiB{shards}"
            self.facts["dtype"] = ", ".join(stored_dtypes(self.folder))
        if how:
            self._describe_quantised(how)
        for note in notes_on(self.files):
            self.facts["beside the weights"] = note

    def _describe_quantised(self, how: Quantisation) -> None:
        obstacle = how.problem()
        if how.is_known and holds_ordinary_weights(self.folder):
            self.facts["quantised"] = f"{how} by config.json, but the files hold ordinary weights, which are used"
        elif obstacle is None:
            self.facts["quantised"] = f"{how}; turned back into ordinary weights while loading"
        else:
            self.facts["quantised"] = str(how)
            self.problems.append(obstacle)

    def _dtype_named(self) -> str:
        own = getattr(self.config, "dtype", None)
        return f"{dtype_name(own)} by config.json" if own else NOT_SAID

    def describe_tokenizer(self) -> None:
        try:
            tokenizer = read_tokenizer(self.files)
        except Exception as error:  # transformers may raise anything for a damaged one
            self.problems.append(f"its tokenizer cannot be read ({' '.join(str(error).split()):.200})")
            return
        fast = bool(getattr(tokenizer, "is_fast", False))
        self.facts["tokenizer"] = (
            f"{type(tokenizer).__name__}, {len(tokenizer)} tokens, {'fast' if fast else 'not fast'}"
        )
        if not fast:
            self.problems.append(
                "its tokenizer reports no character offsets; a fast tokenizer (tokenizer.json) is needed"
            )
        self.facts["chat template"] = ("yes", in_chat(self.registry)) if tokenizer.chat_template else "no"

    def describe_presets(self) -> None:
        try:
            shape = shape_of(self.config)
        except AttributeError:
            return
        fitting = [
            f"{found.offer.name} ({preset.name})"
            for found in self.registry.offers["editor"]
            if issubclass(found.offer.params, EditorParams)
            for preset in found.offer.params.presets
            if preset.shape == shape
        ]
        self.facts["presets"] = ", ".join(fitting) or "none for a model of this size; editors take their defaults"


def plugin_lines(family: Family) -> str:
    """Return the code of a plugin that offers ``family``."""
    values = "".join(f"        {field.name}={getattr(family, field.name)!r},\n" for field in fields(family))
    return (
        "from wildcore import Family, hookimpl\n\n\n@hookimpl\ndef wildcore_families():\n"
        f"    return [Family(\n{values}    )]"
    )
