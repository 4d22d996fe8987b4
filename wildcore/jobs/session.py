"""A job's model, loaded after the job's checks, and the environment that the job gives to its modules."""

from collections.abc import Sequence
from dataclasses import dataclass

from wildcore.interfaces import Environment
from wildcore.jobs.chat import chat_note
from wildcore.models.finiteness import require_finite_logits
from wildcore.models.loaded import LoadedModel, ModelRequest
from wildcore.models.loading import load_model
from wildcore.protocols import ReadyProtocol
from wildcore.registry import Registry


@dataclass(frozen=True)
class Session:
    """A loaded model, and the environment of the editor and the metrics that work with it."""

    model: LoadedModel
    environment: Environment


def open_session(
    registry: Registry,
    request: ModelRequest,
    environment: Environment,
    protocols: Sequence[ReadyProtocol] = (),
    loaded: LoadedModel | None = None,
) -> Session:
    """Load the requested model, unless it is ``loaded`` already, and show notes about it.

    ``protocols`` are those under which the model is asked. Raises ``UserError`` for a model that cannot be loaded, or that
    lacks the chat template in which a protocol asks, or whose logits are not finite.
    """
    model = loaded or load_model(request, registry.families)
    for note in (*model.notes, chat_note(registry, protocols, model)):
        if note:
            environment.progress.note(note)
    require_finite_logits(model)
    return Session(model, environment)
