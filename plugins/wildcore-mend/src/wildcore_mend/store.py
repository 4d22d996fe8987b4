"""Where trained hyper-networks are kept, and which of them is meant."""

import json
from collections.abc import Mapping, Sequence
from shlex import quote
from typing import Any

from wildcore import EditCase, Environment, UserError
from wildcore.models import LoadedModel
from wildcore.prepared import PreparedFile, PreparedManifest, prepared_file
from wildcore.prepared_entries import chosen, entries
from wildcore_mend.examples import hash_of
from wildcore_mend.gradients import edited_modules
from wildcore_mend.parameters import MendParams

KIND = "mend"


def place_for(
    environment: Environment, model: LoadedModel, params: MendParams, cases: Sequence[EditCase]
) -> PreparedFile:
    """Return the place of the network that training on ``cases`` gives."""
    facts = {**_wanted(model, params), "cases": hash_of(cases), "seed": environment.seed}
    return prepared_file(environment, model, KIND, facts)


def find(environment: Environment, model: LoadedModel, params: MendParams) -> PreparedFile:
    """Return the newest network trained for the model with these parameters, or the one that ``trained_on`` names.

    Raises ``UserError`` that says how to train one, or which there are.
    """
    of_model = _of_model(environment, model)
    wanted = _wanted(model, params)
    fit = [stated for stated in of_model if {**stated.facts, **wanted} == stated.facts]
    named = [stated for stated in fit if stated.facts["cases"].startswith(params.trained_on or "")]
    if named:
        return prepared_file(environment, model, KIND, named[-1].facts)
    if fit:
        known = ", ".join(sorted({str(stated.facts["cases"]) for stated in fit}))
        raise UserError(f"editor.trained_on={params.trained_on!r}: mend was not trained on these; known: {known}")
    raise UserError(_how_to_train(model, params) + _what_else(params, of_model))


def _wanted(model: LoadedModel, params: MendParams) -> dict[str, Any]:
    assert params.layers is not None, "parameters are completed for a model first"
    return {"parameters": params.of_training(), "modules": list(edited_modules(model, params.layers))}


def _of_model(environment: Environment, model: LoadedModel) -> list[PreparedManifest]:
    """Return what was trained for this very model, the newest last."""
    own = prepared_file(environment, model, KIND, {}).manifest
    found = [entry for entry in chosen(entries(environment.cache), [KIND], [own.fingerprint]) if entry.whole]
    stated = [
        entry.manifest for entry in sorted(found, key=lambda entry: (entry.created, entry.written)) if entry.manifest
    ]
    return [manifest for manifest in stated if (manifest.revision, manifest.dtype) == (own.revision, own.dtype)]


def _how_to_train(model: LoadedModel, params: MendParams) -> str:
    request = model.request
    options = {"model": request.name, "revision": request.revision}
    if request.dtype != "auto":
        options["dtype"] = request.dtype
    given = "".join(f" --{option} {quote(value)}" for option, value in options.items() if value)
    usual, own = MendParams().for_model(model.shape).of_training(), params.of_training()
    settings = _settings({name: value for name, value in own.items() if value != usual[name]})
    return (
        "mend needs a hyper-network trained for this model and these parameters, and there is none; train it first, on cases "
        f"other than those to judge: wildcore prepare mend{given} --dataset DATASET{settings}"
    )


def _what_else(params: MendParams, trained: Sequence[PreparedManifest]) -> str:
    """Say how the newest training of the model differs from what is asked for, where there is one."""
    if not trained:
        return ""
    own = params.of_training()
    apart = {name: value for name, value in trained[-1].facts["parameters"].items() if own.get(name, value) != value}
    return f". One was trained with other parameters; to use it, give{_settings(apart)}" if apart else ""


def _settings(values: Mapping[str, Any]) -> str:
    """Return the options that set parameters, as a shell takes them."""
    return "".join(f" --set {quote(f'editor.{name}={_as_text(value)}')}" for name, value in values.items())


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
