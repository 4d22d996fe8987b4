"""What published code puts around a question."""

from wildcore import Prompt
from wildcore.models import LoadedModel


class NQOpen:
    """The question as the task ``nq_open`` of lm-evaluation-harness puts it, without examples.

    The harness writes a question mark behind every question, since those of Natural Questions have none. A question that has
    its own is not given a second.
    """

    def render(self, question: str, model: LoadedModel) -> Prompt:
        """Return instruction and question as one text."""
        bare = question.rstrip().removesuffix("?").rstrip()
        return Prompt(text=f"Answer these questions:\n\nQ: {bare}?\nA:")
