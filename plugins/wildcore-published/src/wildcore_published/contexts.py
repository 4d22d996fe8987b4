"""Contexts of published code: the text around a question."""

from wildcore import Prompt
from wildcore.models import LoadedModel


class NQOpen:
    """The question as rendered by the task ``nq_open`` of lm-evaluation-harness, without examples.

    The harness adds a question mark to every question, since those of Natural Questions have none. A question that has one
    does not get a second.
    """

    def render(self, question: str, model: LoadedModel) -> Prompt:
        """Return instruction and question as one text."""
        bare = question.rstrip().removesuffix("?").rstrip()
        return Prompt(text=f"Answer these questions:\n\nQ: {bare}?\nA:")
