"""Contexts of published code: the text around a question."""

from wildcore import Prompt
from wildcore.models import LoadedModel

QUESTION_MARKS = ("\uff1f", "\u061f", "\u037e", "\u055e", "\u1367")
"""Full-width, Arabic, Greek, Armenian and Ethiopic question marks."""


class NQOpen:
    """The question as rendered by the task ``nq_open`` of lm-evaluation-harness, without examples.

    The harness adds a question mark to every question, since those of Natural Questions have none. A question that has one,
    of any script, does not get a second.
    """

    def render(self, question: str, model: LoadedModel) -> Prompt:
        """Return instruction and question as one text."""
        bare = question.rstrip().removesuffix("?").rstrip()
        asked = bare if bare.endswith(QUESTION_MARKS) else f"{bare}?"
        return Prompt(text=f"Answer these questions:\n\nQ: {asked}\nA:")
