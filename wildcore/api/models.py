"""Loads the model that all other calls work on."""

from pathlib import Path
from typing import TYPE_CHECKING

from wildcore.api.jobs import job, plugins
from wildcore.api.naming import errors_in_python
from wildcore.api.progress import reporter_for
from wildcore.jobs.build import model_request
from wildcore.jobs.spec import ModelChoice

if TYPE_CHECKING:
    from wildcore.models.loaded import LoadedModel


@errors_in_python
def load(
    model: str | Path,
    *,
    dtype: str = "auto",
    device: str = "auto",
    revision: str | None = None,
    device_map: str | None = None,
    trust_remote_code: bool = False,
    merge_adapter: bool = False,
    progress: bool = True,
) -> "LoadedModel":
    """Load a model: one that is bundled with a plugin, a local folder, a GGUF file, or a hub name.

    ``dtype`` is auto, float32, bfloat16 or float16; ``device`` is auto, cpu, cuda, cuda:N or mps; ``device_map="auto"``
    spreads the model over all devices; ``merge_adapter`` merges an adapter into its base model. Raises ``UserError`` for a model
    that cannot be loaded.
    """
    registry = plugins()
    spec = job(
        ModelChoice,
        model=str(model),
        dtype=dtype,
        device=device,
        revision=revision,
        device_map=device_map,
        trust_remote_code=trust_remote_code,
        merge_adapter=merge_adapter,
    )
    request = model_request(registry, spec)
    from wildcore.models.loading import load_model  # heavy

    loaded = load_model(request, registry.families)
    reporter = reporter_for(progress)
    for note in loaded.notes:
        reporter.note(note)
    return loaded
