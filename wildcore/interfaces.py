"""What a plugin's objects must be able to do. Everything here is structural: no base class is required."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from wildcore.errors import Message, Refused, each_or_refusal
from wildcore.params import NoParams, Params
from wildcore.trace import Trace
from wildcore.types import Answer, AnsweredProbe, EditCase, EditRequest, Gold, Malformed, Output, Prompt, Score

if TYPE_CHECKING:
    from torch import Tensor

    from wildcore.models.loaded import LoadedModel
    from wildcore.patches.weights import Dense, LowRank

T_co = TypeVar("T_co", covariant=True)

StopRule = Callable[[int, str, int], bool]
"""The truncator's rule as the generator sees it: (row, text so far, token count so far) -> no further token is needed."""


@dataclass(frozen=True)
class Lazy:
    """What an offer is made by, imported only when it is made. ``place`` is "module:name"."""

    place: str

    def resolve(self) -> Callable[..., Any]:
        """Import and return it. Raises ``ImportError`` or ``AttributeError`` where it does not exist."""
        module, _, name = self.place.partition(":")
        found: Callable[..., Any] = getattr(import_module(module), name)
        return found

    def __call__(self, params: Params) -> Any:
        """Make the thing: from its parameters, or from nothing where it takes none (``NoParams``)."""
        make = self.resolve()
        return make() if type(params) is NoParams else make(params)


def lazy(place: str) -> Lazy:
    """Return a ``make`` for an offer that imports ``"module:name"`` only when the thing is made."""
    return Lazy(place)


@dataclass(frozen=True)
class Offer(Generic[T_co]):
    """A named thing that a plugin can make. Cheap to create; ``make`` does the heavy import, most simply by ``lazy``.

    ``params`` is built by the core from the user's settings and handed to ``make``. ``aliases`` are names that the offer had
    earlier, each as NAME, or as PLUGIN/NAME where the plugin had another name: whoever asks by one is served with a note, and
    runs and patches recorded under one are still read.
    """

    name: str
    make: Callable[[Any], T_co]
    params: type[Params] = NoParams
    summary: str = ""
    cites: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The name, then the aliases."""
        return (self.name, *self.aliases)


@dataclass(frozen=True)
class Shortcut:
    """An option of ``eval`` and ``score`` that stands for a setting: ``--judge M`` for ``--set metric.judge.model=M``.

    ``sets`` is the setting's name. Where the option is given, the metric ``adds_metric`` scores too.
    """

    option: str
    sets: str
    help: str
    metavar: str = "VALUE"
    adds_metric: str | None = None


class Progress(Protocol):
    """Where long work reports how far it is."""

    def track(self, label: str, total: int | None, done: int = 0) -> AbstractContextManager[Callable[[int], None]]:
        """Show a task of ``total`` steps, None where that is unknown; the callable given back advances it by so many steps.

        ``done`` steps were made before, in a run that is taken up again: they count as done, not as made at this speed.
        """
        ...

    def note(self, message: Message) -> None:
        """Tell the user something worth knowing, such as a fallback taken."""
        ...


@dataclass(frozen=True)
class Environment:
    """What a run lends its modules: a cache folder that outlives it, its seed, and a place to report progress.

    ``trace`` is where an editor records what happens inside its edits; None: nobody asked for it, and nothing is kept.
    """

    cache: Path
    seed: int
    progress: Progress
    trace: Trace | None = None


class Dataset(Protocol):
    """A source of edit cases."""

    def cases(self) -> Iterator[EditCase | Malformed]:
        """Yield the cases in a fixed order, and in a malformed row's place what is wrong with it.

        Reads as it goes, so that a large source need not fit into memory. Raises ``UserError`` where the source as a whole
        cannot be read.
        """
        ...


class ModelSource(Protocol):
    """A model that a plugin brings along."""

    def folder(self) -> Path:
        """Return an ordinary Hugging Face model folder."""
        ...


class Context(Protocol):
    """Module 1, input: puts a question behind an instruction, or leaves it bare."""

    def render(self, question: str, model: "LoadedModel") -> Prompt:
        """Return the text that the model reads."""
        ...


class Truncator(Protocol):
    """Module 3, truncation: where an answer ends.

    The same rule stops generation early (``is_complete``) and cuts what was generated (``truncate``).
    """

    reads_gold: ClassVar[bool] = False

    def is_complete(self, text: str, token_count: int, gold: Gold | None) -> bool:
        """Say whether more tokens could no longer change the answer. ``text`` is all that was generated so far."""
        ...

    def truncate(self, output: Output, gold: Gold | None) -> Answer:
        """Cut the answer out of what the model said."""
        ...


class Generator(Protocol):
    """Module 2, generation strategy. Inherit from this class for the defaults, or just have the attributes and methods."""

    reads_gold: ClassVar[bool] = False

    row_wise: ClassVar[bool] = False
    """True when each row that the strategy runs through the network is one prompt, and it runs either all prompts in order or
    through ``model.read``, saying which they are. Then many edited models can be asked in one batch, and the strategy is given
    any number of prompts; it runs at most ``model.rows_at_once`` of them together. Else it is given no more than those."""

    def generate(
        self, model: "LoadedModel", prompts: Sequence[Prompt], golds: Sequence[Gold | None], stop: StopRule
    ) -> list[tuple[Output, ...]]:
        """Answer ``prompts``: for each prompt one output, or several samples of it.

        ``golds`` holds None throughout unless the strategy declares ``reads_gold``.
        """
        ...


class Metric(Protocol):
    """Module 4, metric. Works on stored answers, so it may run later, elsewhere, without the model.

    Inherit from this class for the defaults, or just have the attributes and methods.
    """

    reads_unedited: ClassVar[bool] = False
    """True when the metric compares with the unedited model's answer instead of the gold."""

    expensive: ClassVar[bool] = False
    """True when the metric is worth calling once over a whole run, not edit by edit: it asks a service or loads a model."""

    def prepare(self, environment: Environment) -> None:
        """Take what a run lends, such as the cache. Called before the first ``score``."""
        return None

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item, in order. What cannot be scored gets no value and a reason; it is asked again next time."""
        ...


@dataclass(frozen=True)
class Saved:
    """Something as it is kept in a file: its tensors by name, and its facts as JSON values."""

    tensors: "Mapping[str, Tensor]"
    facts: Mapping[str, Any]


class Patch(Protocol):
    """A reversible change to a model."""

    def applied(self, model: "LoadedModel") -> AbstractContextManager[None]:
        """Return a context in which ``model`` carries the change; afterwards it is bit for bit what it was."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Return facts about the change for the record, as JSON values; ``finite`` is false where it diverged."""
        ...


class KeptPatch(Patch, Protocol):
    """A patch that is no change of weights and can be kept in a file; the editor that made it reads it back."""

    def saved(self) -> Saved:
        """Return everything that the patch is made of."""
        ...


class ValueSolver(Protocol):
    """How a closed-form editor finds values, for transforms that measure them on the unedited model."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """All that values depend on beside model and request, as JSON values."""
        ...

    def solve(self, requests: Sequence[EditRequest]) -> "list[Tensor | Refused]":
        """Return for each request the value found on its bare prompt, as in ``Transform.value``, or why there is none."""
        ...


class Transform(Protocol):
    """A change to how a closed-form editor writes: to the values that it has found, or to the update that it has solved for.

    Inherit from this class for the defaults, or just have the methods.
    """

    def taken(self) -> Mapping[str, Any]:
        """Return for the record what it uses that its parameters only name, such as what a table holds, as JSON values.

        Called before ``prepare``. A run does not go on with something else.
        """
        return {}

    def prepare(self, model: "LoadedModel", environment: Environment, solver: ValueSolver) -> None:
        """Measure what it needs of the unedited model. The editor calls this in its own ``prepare``."""
        return None

    def value(self, solved: "Tensor", original: "Tensor") -> "Tensor":
        """Return what the MLP is to give instead of ``solved``, where it gives ``original``; all [requests, width].

        They are at least float32. ``original`` is what the MLP alone gives at the subject's last token: the rest of the
        residual stream there is no part of it.
        """
        return solved

    def update(self, change: "LowRank | Dense", weight: "Tensor") -> "LowRank | Dense":
        """Return the change to make to ``weight`` [outputs, inputs] instead of ``change``; leaves the weight as it is."""
        return change


class Editor(Protocol):
    """A model editing method.

    Inherit from this class for the defaults, or just have the methods. What earlier edits left in an editor is its state: it
    belongs to the object, ``reset`` clears it, and a run begins with it clear.
    """

    trains: ClassVar[bool] = False
    """True when the method has a part that is trained on edit cases, by ``train``, before the first edit."""

    needs_subject: ClassVar[bool] = False
    """True when a request must name a subject that occurs in its prompt. Tables of edits are checked for it before the model is
    loaded."""

    transforms: "Sequence[Transform] | None" = None
    """The transforms to apply, in order; None where the method is not closed-form and takes none."""

    def train(self, model: "LoadedModel", environment: Environment, cases: Iterator[EditCase]) -> None:
        """Train what the method trains and keep it in the cache. Called by ``wildcore prepare`` only."""
        raise TypeError(f"{type(self).__name__} trains nothing")

    def take(
        self, model: "LoadedModel", environment: Environment, recorded: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """Settle what edits use that the parameters leave open or only name, such as which trained network or what a corpus
        holds, and return it for the record, as JSON values.

        Called before ``prepare``. ``recorded`` is what it returned when the run was begun that is to go on: use that very thing
        again, or raise ``UserError`` that names it and the way out; a run does not go on with another.
        """
        return {}

    def prepare(self, model: "LoadedModel", environment: Environment) -> None:
        """Compute once what edits share, such as second moments. Called before the first edit of a run."""
        return None

    def check(self, model: "LoadedModel", request: EditRequest) -> None:
        """Raise ``Refused`` for a request that ``edit`` refuses whatever is edited beside it.

        Called for each request before they are written together, so that one which cannot be written keeps no other from being
        written. It looks at text and tokens only, and changes nothing. Without it, requests that ``edit`` refuses are searched
        for by editing halves of them, which takes longer.
        """
        return None

    def edit(self, model: "LoadedModel", requests: Sequence[EditRequest]) -> Patch:
        """Return one patch that writes all ``requests``, at least one; leave ``model`` as it was. May raise ``Refused``.

        An editor that has state builds upon the edits that it made since ``reset``.
        """
        ...

    def edit_each(self, model: "LoadedModel", requests: Sequence[EditRequest]) -> list[Patch | Refused]:
        """Return for each request one independent patch, as a new editor would make it, or why it cannot be carried out."""
        return each_or_refusal(partial(self._edit_alone, model), requests)

    def _edit_alone(self, model: "LoadedModel", request: EditRequest) -> Patch:
        self.reset()
        try:
            return self.edit(model, [request])
        finally:
            self.reset()

    def reset(self) -> None:
        """Forget everything that earlier edits left in the editor; what ``prepare`` made stays."""
        return None

    @property
    def state(self) -> Saved | None:
        """What earlier edits left in the editor, to go on from later; None where the method keeps nothing.

        Later edits leave a state that was taken as it was.
        """
        return None

    def restore(self, state: Saved) -> None:
        """Go on from a ``state``."""
        raise TypeError(f"{type(self).__name__} has no state")

    def load_patch(self, model: "LoadedModel", saved: Saved) -> Patch:
        """Return the patch that ``saved`` holds, one that this method made and that is no change of weights.

        The editor need not be prepared.
        """
        raise TypeError(f"{type(self).__name__} makes changes of weights only")
