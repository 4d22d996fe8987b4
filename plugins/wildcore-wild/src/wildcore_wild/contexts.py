"""What stands around a question."""

from wildcore import Prompt, UserError
from wildcore.models import LoadedModel
from wildcore_wild.parameters import QUESTION


class QAInstruction:
    """The question in a template."""

    def __init__(self, template: str) -> None:
        self.template = template

    def render(self, question: str, model: LoadedModel) -> Prompt:
        """Return the template with the question in it; braces in the question mean nothing."""
        return Prompt(text=self.template.replace(QUESTION, question))


class Chat:
    """The question as a user's message, as the model's makers say it must be put."""

    def render(self, question: str, model: LoadedModel) -> Prompt:
        """Return the conversation up to where the assistant speaks. Raises ``UserError`` for a model without template."""
        if not model.tokenizer.chat_template:
            raise UserError(
                f"context chat: the tokenizer of {model.request.name} has no chat template; "
                "use --context qa-instruction, or a model trained for chat"
            )
        message = [{"role": "user", "content": question}]
        text = model.tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
        return Prompt(text=text, joint="", special_tokens=False)
