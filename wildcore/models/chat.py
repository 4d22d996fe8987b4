"""Conversations in a model's own chat template."""

import re
from ast import literal_eval
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wildcore.errors import UserError, suggestion

if TYPE_CHECKING:
    from wildcore.models.loaded import LoadedModel

Messages = Sequence[Mapping[str, str]]
"""Messages of a conversation, each with a "role" and its "content"."""

CLOCK = "strftime_now"
"""Function by which a template reads the clock."""
TIMES = "wildcore_times"
FIXED_CLOCK = (
    f"{{% macro {CLOCK}(form) %}}{{{{ {TIMES}[form] if form in {TIMES} else raise_exception('the format of the time is not in "
    "the template') }}{% endmacro %}{{ '' }}"
)
"""Replaces the clock of a template by one that stands still: the times are given in every format that the template contains.
The empty expression keeps a line break at the template's beginning."""
LITERAL = re.compile(r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*\"""")
TIME_OF_DAY = re.compile(r"%-?[HIMSpcXfsTR]")
DEFAULT = "default"
"""Name of the template that is used, of several, if none is named."""


def render_chat(
    model: "LoadedModel", messages: Messages, template: str | None = None, arguments: Mapping[str, Any] | None = None
) -> str:
    """Return a conversation in the model's chat template, up to the point where the assistant's reply begins.

    ``template`` names one of several templates, and ``arguments`` are passed to it. A template that reads the clock is given
    ``model.clock``. Raises ``UserError`` for a template that the model does not have and for an argument that the template
    does not read, and ``jinja2.TemplateError`` if the template refuses the messages.
    """
    text = template_text(model, template)
    for name in arguments or {}:
        if not re.search(rf"\b{re.escape(name)}\b", text):
            known = sorted(set(re.findall(r"\b(\w+)\s+is\s+(?:not\s+)?(?:defined|undefined)\b", text)))
            raise UserError(
                f"the chat template of {model.request.name} reads no argument {name!r}; {suggestion(name, known)}"
            )
    given = dict(arguments or {})
    if CLOCK in text:
        given[TIMES] = {form: model.clock.strftime(form) for form in _formats(text)}
        text = FIXED_CLOCK + text
    rendered: str = model.tokenizer.apply_chat_template(
        list(messages), chat_template=text, add_generation_prompt=True, tokenize=False, **given
    )
    return rendered


def _formats(template: str) -> set[str]:
    """Return the texts in a template that are formats of a time: those that contain a per cent sign."""
    return {literal_eval(found[0]) for found in LITERAL.finditer(template) if "%" in found[0]}


def template_text(model: "LoadedModel", name: str | None = None) -> str:
    """Return the text of a chat template; ``name`` is that of one of several.

    Raises ``UserError`` if the model has no template, none of this name, or several of which none is the default.
    """
    found = model.tokenizer.chat_template
    who = f"the tokenizer of {model.request.name}"
    if not found:
        raise UserError(f"{who} has no chat template")
    if isinstance(found, str):
        if name not in (None, DEFAULT):
            raise UserError(f"{who} has one chat template, which has no name; leave {name!r} out")
        return found
    if (name or DEFAULT) not in found:
        problem = "has several chat templates, and none is the default" if name is None else f"has no template {name!r}"
        raise UserError(f"{who} {problem}; choose one of {', '.join(sorted(found))}")
    chosen: str = found[name or DEFAULT]
    return chosen


def reads_clock(model: "LoadedModel", template: str | None = None) -> bool:
    """Return whether a chat template of the model reads the clock."""
    return CLOCK in template_text(model, template)


def recorded_clock(model: "LoadedModel", template: str | None = None) -> str:
    """Return the time that a template which reads the clock is given, in ISO format: only the date if it reads no more."""
    clock = model.clock.isoformat(timespec="seconds")
    return clock if TIME_OF_DAY.search(template_text(model, template)) else clock.partition("T")[0]
