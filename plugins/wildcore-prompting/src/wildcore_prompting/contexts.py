"""Contexts with text before a question."""

import re

from wildcore import Prompt, Setting, UserError
from wildcore.models import LoadedModel
from wildcore.scripts import separator_after
from wildcore_prompting.parameters import ANSWER, QUESTION, FewShotParams, PrefixParams

PLACE = re.compile(f"{re.escape(QUESTION)}|{re.escape(ANSWER)}")


class FewShot:
    """An instruction, solved examples, and the question in the form of the examples."""

    def __init__(self, params: FewShotParams) -> None:
        """Render the text before every question. Raises ``UserError`` if there is no example to show."""
        examples = params.with_examples(()).examples
        if not examples:
            raise UserError(
                "there is no dataset to draw examples from",
                "context few-shot",
                ("name a file with ", Setting("context.path", "FILE")),
            )
        self.before = params.instruction + "".join(
            _filled(params.example_template, example.question, example.answer) for example in examples
        )
        self.template = params.template

    def render(self, question: str, model: LoadedModel) -> Prompt:
        """Return instruction, examples and question as one text; braces in a question are kept as they are."""
        return Prompt(text=self.before + self.template.replace(QUESTION, question))


class Prefix:
    """A text unrelated to the question, followed by the question."""

    def __init__(self, params: PrefixParams) -> None:
        self.before = params.text if params.text[-1].isspace() else params.text + separator_after(params.text)
        self.template = params.template

    def render(self, question: str, model: LoadedModel) -> Prompt:
        """Return the template with text and question inserted; braces in them are kept as they are."""
        return Prompt(text=self.template.replace(QUESTION, self.before + question))


def _filled(template: str, question: str, answer: str) -> str:
    values = {QUESTION: question, ANSWER: answer}
    return PLACE.sub(lambda place: values[place.group()], template)
