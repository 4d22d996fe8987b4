"""Chat templates: which contexts ask in them, and notes for models that have or lack one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wildcore.errors import Message, Option, Refused, Setting, UserError, joined
from wildcore.interfaces import Offer
from wildcore.params import ContextParams
from wildcore.protocols import ReadyProtocol
from wildcore.registry import Registry
from wildcore.types import Answer

if TYPE_CHECKING:
    from wildcore.models.loaded import LoadedModel

THINKING_SWITCHES = ("enable_thinking", "thinking")
"""Arguments by which chat templates turn thoughts on and off: Qwen3 and SmolLM3; Granite and DeepSeek-V3.1."""
MOST_NAMED = 2
"""Number of protocols that a note names, if there are more than one more."""
PROBE = "Which is the capital of Canada?"
"""A question by which a chat template is tried before a run."""


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
    for protocol in protocols:
        if protocol.asks_in_chat:
            _require_readable(protocol, model)
    if not bare:
        return None
    return (f"this model has a chat template, which {_named(bare)} {_do(bare)} not use", in_chat(registry))


def _named(protocols: Sequence[str]) -> str:
    """Return the names of protocols; of many, the first and how many more there are."""
    more = len(protocols) - MOST_NAMED
    named = [*protocols[:MOST_NAMED], f"{more} other protocols"] if more > 1 else list(protocols)
    return " and ".join([*filter(None, [", ".join(named[:-1])]), named[-1]])


def _require_readable(protocol: ReadyProtocol, model: "LoadedModel") -> None:
    """Raise ``UserError`` before the first case if the template refuses a question or writes tokens that cannot be read."""
    from wildcore.models.tokens import encode, require_embeddings  # heavy

    prompt = protocol.context.render(PROBE, model)
    try:
        require_embeddings(model, encode(model.tokenizer, prompt))
    except Refused as refusal:
        raise UserError(
            f"the chat template of {model.request.name} cannot be read: {refusal}",
            about=f"context {protocol.definition.context.name.split('/')[-1]}",
            way_out=("choose another ", Option("context"), ", or take the tokenizer that belongs to the network"),
        ) from refusal


def clock_of(protocols: Sequence[ReadyProtocol], model: "LoadedModel") -> str | None:
    """Return for the record the time that the chat template reads under ``protocols``. None: it reads no clock."""
    from wildcore.models.chat import reads_clock, recorded_clock  # heavy

    for protocol in protocols:
        template = template_named(protocol)
        if protocol.asks_in_chat and reads_clock(model, template):
            return recorded_clock(model, template)
    return None


def template_named(protocol: ReadyProtocol) -> str | None:
    """Return the name of the chat template that a protocol's context asks in. None: the model's default."""
    name = protocol.definition.context.params.get("template")
    return name if isinstance(name, str) else None


def thoughts_note(protocol: str, answers: Sequence[Answer], switch: str | None) -> Message | None:
    """Return a note on the thoughts that were removed from answers under a protocol. None: there are none.

    ``switch`` is an argument of the chat template that turns thoughts off, if it has one.
    """
    thoughts = [answer.thought for answer in answers if answer.thought]
    if not thoughts:
        return None
    unended = sum(not thought.ended for thought in thoughts)
    said = (
        f"{protocol}: {len(thoughts)} of {len(answers)} answers began with a thought, which is not part of the answer"
    )
    if not unended:
        return said
    ways: list[Message] = [(Setting("generator.max_new_tokens", "NUMBER"), " gives them room")]
    if switch:
        ways.append((Setting("context.template_arguments", f'{{"{switch}": false}}'), " turns thoughts off"))
    return (f"{said}; {unended} never ended it, and are empty: ", joined(ways, "; "))


def thinking_switch(model: "LoadedModel", protocol: ReadyProtocol) -> str | None:
    """Return the argument of the chat template that turns thoughts off. None: it has none, or the protocol has set it."""
    from wildcore.models.chat import template_text  # heavy

    text = template_text(model, template_named(protocol))
    given = protocol.definition.context.params.get("template_arguments", {})
    return next((name for name in THINKING_SWITCHES if name in text and name not in given), None)


def in_chat(registry: Registry) -> Message:
    """Return the end of a sentence that says how to ask in the chat template; empty if no plugin offers a context for it."""
    named = joined([Option("context", name) for name in chat_contexts(registry)], " or ")
    return ("; ", named, " asks in it") if named else ""


def _do(names: Sequence[str]) -> str:
    return "does" if len(names) == 1 else "do"
