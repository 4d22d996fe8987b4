"""Chat templates: which contexts ask in them, and notes for models that have or lack one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wildcore.errors import Message, Option, UserError, joined
from wildcore.interfaces import Offer
from wildcore.params import ContextParams
from wildcore.protocols import ReadyProtocol
from wildcore.registry import Registry

if TYPE_CHECKING:
    from wildcore.models.loaded import LoadedModel


def chat_contexts(registry: Registry) -> list[str]:
    """Return the names of the contexts that ask in the model's chat template."""
    return sorted(
        registry.unambiguous_name("context", found) for found in registry.offers["context"] if asks_in_chat(found.offer)
    )


def asks_in_chat(context: Offer[Any]) -> bool:
    """Return whether a context asks in the model's chat template."""
    return issubclass(context.params, ContextParams) and context.params.uses_chat_template


def chat_note(registry: Registry, protocols: Sequence[ReadyProtocol], model: "LoadedModel") -> Message | None:
    """Return a note if ``model`` has a chat template and some of ``protocols`` do not ask in it.

    Raises ``UserError`` if a protocol asks in a template that the model lacks.
    """
    bare = [protocol.name for protocol in protocols if not protocol.asks_in_chat]
    if not model.tokenizer.chat_template:
        for protocol in protocols:
            if protocol.asks_in_chat:
                context = protocol.definition.context.name.split("/")[-1]
                raise UserError(
                    f"the tokenizer of {model.request.name} has no chat template",
                    about=f"context {context}",
                    way_out=("choose another ", Option("context"), ", or a model trained for chat"),
                )
        return None
    if not bare:
        return None
    return (f"this model has a chat template, which {' and '.join(bare)} {_do(bare)} not use", in_chat(registry))


def in_chat(registry: Registry) -> Message:
    """Return the end of a sentence that says how to ask in the chat template; empty if no plugin offers a context for it."""
    named = joined([Option("context", name) for name in chat_contexts(registry)], " or ")
    return ("; ", named, " asks in it") if named else ""


def _do(names: Sequence[str]) -> str:
    return "does" if len(names) == 1 else "do"
