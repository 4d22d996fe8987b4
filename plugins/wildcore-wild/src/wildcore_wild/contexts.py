"""Contexts: the text around a question."""

from wildcore import Option, Parameter, Prompt, UserError
from wildcore.models import LoadedModel, render_chat
from wildcore_wild.parameters import QUESTION, ChatParams, QAInstructionParams


class QAInstruction:
    """The question in a template."""

    def __init__(self, params: QAInstructionParams) -> None:
        self.template = params.template

    def render(self, question: str, model: LoadedModel) -> Prompt:
        """Return the template with the question inserted; braces in the question are kept as they are."""
        return Prompt(text=self.template.replace(QUESTION, question))


class Chat:
    """The question as a user's message, in the template published with the model."""

    def __init__(self, params: ChatParams) -> None:
        self.params = params
        self.system = params.system
        self.add_special_tokens = params.add_special_tokens

    def render(self, question: str, model: LoadedModel) -> Prompt:
        """Return the conversation up to the point where the assistant's reply begins.

        Raises ``UserError`` for a model without a template, and for a template that refuses or drops the system message.
        """
        if not model.tokenizer.chat_template:
            raise UserError(
                f"the tokenizer of {model.request.name} has no chat template",
                "context chat",
                ("use ", Option("context", "qa-instruction"), ", or a model trained for chat"),
            )
        return Prompt(text=self._conversation(question, model), separator="", special_tokens=self.add_special_tokens)

    def _conversation(self, question: str, model: LoadedModel) -> str:
        from jinja2 import TemplateError

        messages = [{"role": "user", "content": question}]
        if self.system is not None:
            messages.insert(0, {"role": "system", "content": self.system})
        try:
            text = render_chat(model, messages, self.params.template, self.params.template_arguments)
        except UserError as error:
            raise UserError(error.problem, "context chat", error.way_out) from error
        except TemplateError as error:
            raise self._refused(
                model, f"refuses {'a' if self.system is None else 'the system'} message: {error}"
            ) from error
        if self.system is not None and self.system.strip() not in text:
            raise self._refused(model, "leaves the system message out")
        return text

    def _refused(self, model: LoadedModel, how: str) -> UserError:
        without = () if self.system is None else ("leave ", Parameter("context.system"), " out, or ")
        way_out = (*without, "use ", Option("context", "qa-instruction"))
        return UserError(f"the chat template of {model.request.name} {how}", "context chat", way_out)
