"""The store of trained hyper-networks, and the choice of one."""

from collections.abc import Mapping, Sequence
from typing import Any

from wildcore import EditCase, Environment, Message, Option, Parameter, Place, Saved, Setting, UserError, command
from wildcore.models import LoadedModel
from wildcore.storage import Artifact, artifact_file, artifacts_for, content_digest
from wildcore_mend.examples import hash_of
from wildcore_mend.gradients import edited_modules
from wildcore_mend.parameters import MendParams

KIND = "mend"


def place_for(environment: Environment, model: LoadedModel, params: MendParams, cases: Sequence[EditCase]) -> Artifact:
    """Return the file of the network trained on ``cases``."""
    return _place(environment, model, params, hash_of(cases), environment.seed)


def find(environment: Environment, model: LoadedModel, params: MendParams) -> Artifact:
    """Return the newest network trained for the model with these parameters, or the one that ``trained_on`` names.

    Raises ``UserError`` that says how to train one, or which exist.
    """
    of_model = artifacts_for(environment, model, KIND)
    wanted = _wanted(model, params)
    fit = [file for file in of_model if {**file.manifest.facts, **wanted} == file.manifest.facts]
    named = [file for file in fit if file.manifest.facts["cases"].startswith(params.trained_on or "")]
    if named:
        return named[-1]
    if fit:
        known = ", ".join(sorted({str(file.manifest.facts["cases"]) for file in fit}))
        raise UserError(
            "mend was not trained on these", Parameter("editor.trained_on", params.trained_on), f"known: {known}"
        )
    raise UserError(
        "mend needs a hyper-network trained for this model and these parameters, and there is none",
        way_out=(
            f"train it first, on cases other than those to evaluate: {_command(model, params)}",
            *_what_else(params, of_model),
        ),
    )


def find_again(
    environment: Environment, model: LoadedModel, params: MendParams, recorded: Mapping[str, Any]
) -> Artifact:
    """Return the network that ``stated`` described as ``recorded``. Raises ``UserError`` if it is no longer kept."""
    file = _place(environment, model, params, recorded["cases"], recorded["seed"])
    if not file.exists():
        raise UserError(
            f"the hyper-network that the run was begun with is gone; it was trained on the cases {recorded['cases']} with "
            f"seed {recorded['seed']}",
            Place(file.path),
            f"train it on these again, with {_command(model, params, recorded['seed'])}, or begin a new run",
        )
    found = stated(file, file.load())
    if found != recorded:
        raise UserError(
            f"trained again since the run was begun, to other bits (sha256 {found['sha256']}, not {recorded['sha256']})",
            Place(file.path),
            "put the earlier file back, or begin a new run",
        )
    return file


def stated(file: Artifact, saved: Saved) -> dict[str, Any]:
    """Return a network's description for the manifest: its training cases, its seed, and a hash of its bits."""
    facts = file.manifest.facts
    return {"cases": facts["cases"], "seed": facts["seed"], "sha256": content_digest(saved)}


def _place(environment: Environment, model: LoadedModel, params: MendParams, cases: str, seed: int) -> Artifact:
    return artifact_file(environment, model, KIND, {**_wanted(model, params), "cases": cases, "seed": seed})


def _wanted(model: LoadedModel, params: MendParams) -> dict[str, Any]:
    assert params.layers is not None, "parameters are completed for a model first"
    return {"parameters": params.of_training(), "modules": list(edited_modules(model, params.layers))}


def _command(model: LoadedModel, params: MendParams, seed: int | None = None) -> str:
    """Return the training command; ``seed`` None: the default seed."""
    request = model.request
    chosen = {"model": request.name, "revision": request.revision, "seed": seed}
    if request.dtype != "auto":
        chosen["dtype"] = request.dtype
    options = [Option(name, value) for name, value in chosen.items() if value is not None]
    usual, own = MendParams().for_model(model.shape).of_training(), params.of_training()
    settings = _settings({name: value for name, value in own.items() if value != usual[name]})
    return command("prepare", "mend", *options, Option("dataset", "DATASET"), *settings)


def _what_else(params: MendParams, trained: Sequence[Artifact]) -> tuple[Message, ...]:
    """Return how the newest training of the model differs from the requested one; empty if there is none."""
    if not trained:
        return ()
    own = params.of_training()
    apart = {
        name: value for name, value in trained[-1].manifest.facts["parameters"].items() if own.get(name, value) != value
    }
    if not apart:
        return ()
    given = [piece for setting in _settings(apart) for piece in (" ", setting)]
    return (". One was trained with other parameters; to use it, give", *given)


def _settings(values: Mapping[str, Any]) -> list[Setting]:
    return [Setting(f"editor.{name}", "null" if value is None else value) for name, value in values.items()]
