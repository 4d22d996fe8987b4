"""A plugin that works: an editor with a required parameter, a dataset of two facts, and a command."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import click

from wildcore import EditCase, Editor, EditorParams, EditRequest, ModelShape, Offer, Preset, Probe, hookimpl


class NoChangeParams(EditorParams):
    """Parameters of ``no-change``."""

    presets: ClassVar = (Preset("tiny", ModelShape("gpt2", 2, 16, 100), {"strength": 2.0}),)

    strength: float = 1.0
    """How strongly nothing is changed."""


class NoChange(Editor):
    """Leaves the model as it is."""

    def edit(self, model: Any, requests: Sequence[EditRequest]) -> "NoChange":
        return self

    def applied(self, model: Any) -> AbstractContextManager[None]:
        return nullcontext()

    def describe(self) -> dict[str, Any]:
        return {"changed": False}


class TwoFacts:
    """Two facts."""

    def cases(self) -> Iterator[EditCase]:
        for index, (prompt, target) in enumerate([("The sky is", "green"), ("Snow is", "black")]):
            probe = Probe(kind="reliability", prompt=prompt, answers=(target,))
            yield EditCase(id=str(index), request=EditRequest(prompt=prompt, target=target), probes=(probe,))


@hookimpl
def wildcore_editors():
    return [Offer("no-change", lambda params: NoChange(), NoChangeParams, "leaves the model as it is")]


@hookimpl
def wildcore_datasets():
    return [Offer("two-facts", lambda params: TwoFacts(), summary="two facts")]


@hookimpl
def wildcore_commands(cli):
    @cli.command("count-facts")
    def count_facts():
        """Print how many facts there are."""
        click.echo(len(list(TwoFacts().cases())))
