"""The interfaces that a plugin's objects implement. Everything here is structural: no base class is required."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeVar

from wildcore.errors import Message, Refused, UserError, map_or_refuse
from wildcore.params import NoParams, Params
from wildcore.trace import Trace
from wildcore.types import (
    Answer,
    AnsweredProbe,
    EditCase,
    EditRequest,
    Gold,
    Malformed,
    Measured,
    Output,
    Prompt,
    Score,
)

if TYPE_CHECKING:
    from torch import Tensor

    from wildcore.models.loaded import LoadedModel
    from wildcore.patches.weights import Dense, LowRank

T_co = TypeVar("T_co", covariant=True)

RESOURCES = "taken"
"""Key for the result of ``Editor.pin_resources`` in an editor's description, as files have it."""

StopRule = Callable[[int, str, int], bool]
"""The truncator's rule as the generator sees it: (row, text so far, number of tokens so far) -> whether the row is
complete."""


@dataclass(frozen=True)
class Lazy:
    """A callable given as ``"module:name"``, which is imported only when it is called."""

    place: str

    def resolve(self) -> Callable[..., Any]:
        """Import the callable and return it. Raises ``ImportError`` or ``AttributeError`` if it does not exist."""
        module, _, name = self.place.partition(":")
        found: Callable[..., Any] = getattr(import_module(module), name)
        return found

    def __call__(self, params: Params) -> Any:
        """Make the object: from ``params``, or without arguments if it takes none (``NoParams``)."""
        make = self.resolve()
        return make() if type(params) is NoParams else make(params)


def lazy(place: str) -> Lazy:
    """Return a ``make`` for an offer that imports ``"module:name"`` only when the object is made."""
    return Lazy(place)


@dataclass(frozen=True)
class Offer(Generic[T_co]):
    """A named object that a plugin can make. An offer is cheap to create: heavy imports belong into ``make``, most simply by
    ``lazy``.

    The core builds ``params`` from the user's settings and passes them to ``make``. ``aliases`` are earlier names of the
    offer, each as NAME, or as PLUGIN/NAME if the plugin had another name. A user who asks by an alias gets the offer and a
    note, and runs and patches recorded under an alias can still be read.
    """

    name: str
    make: Callable[[Any], T_co]
    params: type[Params] = NoParams
    summary: str = ""
    cites: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The name, followed by the aliases."""
        return (self.name, *self.aliases)


@dataclass(frozen=True)
class Shortcut:
    """An option of ``eval`` and ``score`` that stands for a setting: ``--judge M`` for ``--set metric.judge.model=M``.

    ``sets`` is the setting's name. If the option is given, the metric ``adds_metric`` scores the answers too, and the
    measurement ``adds_measurement`` is made too. Only ``eval`` has an option that adds a measurement or sets a parameter of
    one. ``group`` is the heading under which help shows the option, such as "Evaluation" (None: "Plugin options").
    """

    option: str
    sets: str
    help: str
    metavar: str = "VALUE"
    adds_metric: str | None = None
    adds_measurement: str | None = None
    group: str | None = None


class Progress(Protocol):
    """Where long work reports its progress."""

    def track(self, label: str, total: int | None, done: int = 0) -> AbstractContextManager[Callable[[int], None]]:
        """Show a task of ``total`` steps (None: unknown) and yield a function ``advance(n)``.

        ``done`` steps were made before an interruption: they count towards the total, not towards the speed.
        """
        ...

    def note(self, message: Message) -> None:
        """Show the user a note, such as that a fallback was taken."""
        ...


class _NoProgress(Progress):
    """Shows nothing."""

    @contextmanager
    def track(self, label: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], None]]:
        """Show nothing."""
        yield lambda steps: None

    def note(self, message: Message) -> None:
        """Show nothing."""


NO_PROGRESS: Progress = _NoProgress()
"""Progress that shows nothing, for work that no environment was given to."""


class Segmenter(Protocol):
    """Finds the words of texts in scripts that are written without spaces, such as Chinese."""

    def segment(self, text: str) -> Sequence[str]:
        """Return the words of ``text``, which has no white space, in order; joined they are the text."""
        ...


def only_unicode(name: str) -> Segmenter:
    """Raise ``UserError``: this environment knows no plugin that could offer the segmenter ``name``."""
    raise UserError("the segmenters of plugins are not known here", f"segmenter {name}")


@dataclass(frozen=True)
class Environment:
    """What a run gives to its modules: a cache folder that outlives the run, its seed, and a place to report progress.

    ``trace`` is where an editor records what happens inside its edits (None: no trace was asked for, and nothing is
    kept). ``segmenter`` makes the segmenter of a name, and raises ``UserError`` if no plugin offers it. ``clock`` is the local
    time at which the run was started; it is what a chat template that reads the clock is given.
    """

    cache: Path
    seed: int
    progress: Progress
    trace: Trace | None = None
    segmenter: Callable[[str], Segmenter] = only_unicode
    clock: datetime = field(default_factory=datetime.now)


class Dataset(Protocol):
    """A source of edit cases.

    It may also have a method ``notes() -> Iterator[Message]``, which yields notes on what was noticed since ``cases`` was
    called, such as blank rows that were skipped. A ``wildcore.datasets.TableDataset`` has it.
    """

    def cases(self) -> Iterator[EditCase | Malformed]:
        """Yield the cases in a fixed order; in place of a malformed row, yield what is wrong with it.

        Reads row by row, so that a large source need not fit into memory. Raises ``UserError`` if the source as a whole
        cannot be read.
        """
        ...


class ModelSource(Protocol):
    """A model that is bundled with a plugin."""

    def folder(self) -> Path:
        """Return an ordinary Hugging Face model folder."""
        ...


class Context(Protocol):
    """Module 1, input: renders a question as a prompt, for example after an instruction, or bare."""

    def render(self, question: str, model: "LoadedModel") -> Prompt:
        """Return the text that the model reads."""
        ...


class Truncator(Protocol):
    """Module 3, truncation: where an answer ends.

    The same rule stops generation early (``is_complete``) and cuts what was generated (``truncate``).
    """

    reads_gold: ClassVar[bool] = False

    def is_complete(self, text: str, token_count: int, gold: Gold | None) -> bool:
        """Return whether further tokens can no longer change the answer. ``text`` is everything generated so far."""
        ...

    def truncate(self, output: Output, gold: Gold | None) -> Answer:
        """Return the answer: ``output`` cut where the answer ends."""
        ...


class Generator(Protocol):
    """Module 2, generation strategy. Inherit from this class for the defaults, or just have the attributes and methods."""

    reads_gold: ClassVar[bool] = False

    supports_row_patches: ClassVar[bool] = False
    """True if each row that the strategy runs through the network is one prompt, and if it either runs all prompts in
    order or calls ``model.forward`` with the indices of the prompts. Many edited models can then be asked in one batch.
    Such a strategy is given any number of prompts and runs at most ``model.max_batch_size`` of them together; any other
    is given at most that many."""

    def generate(
        self, model: "LoadedModel", prompts: Sequence[Prompt], golds: Sequence[Gold | None], stop: StopRule
    ) -> list[tuple[Output, ...]]:
        """Answer ``prompts``: return one output for each prompt, or several samples of it.

        ``golds`` contains only None unless the strategy declares ``reads_gold``.
        """
        ...


class Metric(Protocol):
    """Module 4, metric. Scores stored answers, so it can run later, on another machine, without the model.

    Texts that are equal in Unicode get the same score (``wildcore.equivalence``).

    Inherit from this class for the defaults, or just have the attributes and methods.
    """

    reads_unedited: ClassVar[bool] = False
    """True if the metric compares with the unedited model's answer instead of the gold."""

    expensive: ClassVar[bool] = False
    """True if the metric should be called once for a whole run instead of edit by edit: it asks a service or loads a
    model."""

    def prepare(self, environment: Environment) -> None:
        """Receive the run's environment, such as the cache folder. Called before the first ``score``."""
        return None

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item, in order. An item that cannot be scored gets no value and a reason; it is tried again next
        time.
        """
        ...


class Measurement(Protocol):
    """Measures a whole model, rather than single answers: before the first edit, and at every judging point of a sequence.

    Inherit from this class for the defaults, or just have the methods.
    """

    def prepare(self, environment: Environment) -> None:
        """Receive the run's environment, and check what can be checked without the model. Called before the model is
        loaded. Raises ``UserError`` if the measurement cannot be made, for example because a file or a package is missing.
        """
        return None

    def pin_resources(self) -> Mapping[str, Any]:
        """Describe what the numbers depend on besides the model and the parameters, such as the content of a text file, as JSON
        values; empty if there is nothing. Called after ``prepare``. A run is resumed only if the description is the same.
        """
        return {}

    def measure(self, model: "LoadedModel") -> Sequence[Measured]:
        """Measure ``model``, which may carry patches of any kind, and leave it unchanged.

        The numbers have the same names in the same order at every call. A number that cannot be measured on this model, for
        example because its logits are no longer finite, has no value and a reason.
        """
        ...

    def signs_of_collapse(self, unedited: Sequence[Measured], edited: Sequence[Measured]) -> Sequence[str]:
        """Return in what the numbers of an edited model show that it has collapsed, compared with those of the unedited
        model; empty if they do not. Each sign is a sentence such as "perplexity is 812, of the unedited model 21".
        """
        return ()


@dataclass(frozen=True)
class WaitingCell:
    """A cell of a study that is still to be run. ``model`` is the same text for all cells that use the same loaded model."""

    id: str
    model: str
    description: str


class CellWorker(Protocol):
    """Runs cells one after another in the process that opened it, and keeps the model loaded between cells that share it."""

    def load(self, cell: str) -> str:
        """Load the model of the cell unless it is loaded, and return its fingerprint, computed from the weights as they are
        now.

        An executor compares the fingerprints of its workers before each cell. Raises ``UserError`` if the model cannot be
        loaded.
        """
        ...

    def run(self, cell: str) -> bool:
        """Run the cell with the id ``cell``, and return whether this call finished it. False: another worker runs or finished
        it, or the attempt failed.

        Results, attempts and failures go to the study's folder, never through the executor. An exception that a cell raises
        is recorded there as a failed attempt, and is not raised.
        """
        ...

    def close(self) -> None:
        """Free the model."""
        ...


class CellQueue(Protocol):
    """The cells of a study, as an executor sees them. It can be pickled, and holds no more than places and settings."""

    @property
    def folder(self) -> Path:
        """The study's folder."""
        ...

    def waiting(self) -> Sequence[WaitingCell]:
        """Return the cells that are neither finished, nor being run, nor set aside after too many failed attempts, in the
        order in which they should be run. Reads the study's folder anew at each call.
        """
        ...

    def open_worker(self, device: str) -> CellWorker:
        """Return a worker for the device (``cpu``, ``cuda:1``, ``auto``) of the calling process."""
        ...

    def worker_command(self, device: str) -> Sequence[str]:
        """Return the command line of a process that runs waiting cells on the device until none is left. Its exit code is 0
        if no cell failed.
        """
        ...


class Executor(Protocol):
    """Spreads the cells of a study over devices or machines."""

    def execute(self, queue: CellQueue, devices: Sequence[str], progress: Progress) -> None:
        """Run cells until none is waiting, one worker for each of ``devices``. Interrupted, it stops its workers first.

        A worker that dies is replaced as long as cells are waiting; the queue sets a cell aside that kills its workers. Raises
        ``UserError`` if no worker can be started.
        """
        ...


@dataclass(frozen=True)
class TrackedRun:
    """A run as its trackers see it.

    ``id`` is a name for machines, which is the same whenever the run is resumed in its folder. ``name`` is for people.
    ``manifest`` is what the run's ``manifest.json`` says, as JSON values; it contains no answer.
    """

    id: str
    name: str
    folder: Path
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class TrackedPoint:
    """The numbers of a run at a judging point, after ``edits`` edits of the run; 0 is the unedited model.

    ``numbers`` have names such as "wild/reliability/exact-match/after" (docs/trackers.md), and all are finite. ``collapse``
    are the signs of a collapse, without the text of any answer.
    """

    edits: int
    numbers: Mapping[str, float]
    collapse: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrackedEnd:
    """The end of a run, or of the work on it: an interrupted run may be resumed.

    ``numbers`` are those of the run's summary; there are none if it was interrupted. ``cases`` are the rows of the table of
    cases, as JSON values; there are none unless the parameter ``cases`` asks for them.
    """

    status: Literal["finished", "interrupted"]
    numbers: Mapping[str, float] = field(default_factory=dict)
    cases: Sequence[Mapping[str, Any]] = ()


class Tracker(Protocol):
    """Shows the numbers of one run in a service for experiments, such as MLflow. Its parameters derive from ``TrackerParams``.

    It works in a process of its own, which is ended if a call takes too long. Whatever it does, the run goes on, and its files
    are the same. The constructor raises ``UserError`` if a package is missing; this is checked before the model is loaded.
    """

    def start(self, run: TrackedRun) -> str | None:
        """Begin the service's run for ``run``, or continue it if it has one with its id. Return where people see it, such as
        a folder or an address (None: it is not known).
        """
        ...

    def point(self, point: TrackedPoint) -> None:
        """Store the numbers of a judging point, in ascending order of edits. When a run is resumed, its earlier points are given
        again, with the same numbers: each must be stored once.
        """
        ...

    def finish(self, end: TrackedEnd) -> None:
        """Store the end of the run. It is the last call, and everything must have been sent when it returns."""
        ...


@dataclass(frozen=True)
class Saved:
    """The content of a file: its tensors by name, and its facts as JSON values."""

    tensors: "Mapping[str, Tensor]"
    facts: Mapping[str, Any]


class Patch(Protocol):
    """A reversible change to a model."""

    def applied(self, model: "LoadedModel") -> AbstractContextManager[None]:
        """Return a context in which ``model`` carries the change; afterwards it is bit for bit what it was before."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Return facts about the change for the record of the case, as JSON values. ``finite`` is false if it diverged."""
        ...


class SavablePatch(Patch, Protocol):
    """A patch that is not a change of weights and can be saved to a file. The editor that made it loads it again."""

    def to_saved(self) -> Saved:
        """Return everything that the patch consists of."""
        ...


class ValueSolver(Protocol):
    """Computes values as a closed-form editor does, for transforms that measure them on the unedited model."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything that the values depend on besides the model and the request, as JSON values."""
        ...

    def solve(self, requests: Sequence[EditRequest]) -> "list[Tensor | Refused]":
        """Return for each request the value found on its bare prompt, as in ``Transform.value``, or the reason why
        there is none.
        """
        ...


class Transform(Protocol):
    """A change to what a closed-form editor writes: to the values it has found, or to the update it has solved for.

    Inherit from this class for the defaults, or just have the methods.
    """

    def pinned_resources(self) -> Mapping[str, Any]:
        """Return a description of the resources that the parameters only name, such as the content of a table, as JSON
        values for the manifest.

        Called before ``prepare``. A run is resumed only with the same resources.
        """
        return {}

    def prepare(self, model: "LoadedModel", environment: Environment, solver: ValueSolver) -> None:
        """Measure what the transform needs on the unedited model. The editor calls this in its own ``prepare``."""
        return None

    def value(self, solved: "Tensor", original: "Tensor") -> "Tensor":
        """Return the value that the MLP is to output instead of ``solved``; all tensors are [requests, width].

        They are at least float32. ``original`` is the MLP's unedited output at the subject's last token, without the
        rest of the residual stream.
        """
        return solved

    def update(self, change: "LowRank | Dense", weight: "Tensor") -> "LowRank | Dense":
        """Return the change to make to ``weight`` [outputs, inputs] instead of ``change``. The weight itself is not
        modified.
        """
        return change


class Editor(Protocol):
    """A model editing method.

    Inherit from this class for the defaults, or just have the methods. The state of an editor is what its earlier edits
    left in it. The state belongs to the object, ``reset`` clears it, and a run starts with a cleared state.
    """

    trains: ClassVar[bool] = False
    """True if the method has a part that ``train`` trains on edit cases before the first edit."""

    needs_subject: ClassVar[bool] = False
    """True if a request must name a subject that occurs in its prompt. Tables of edits are then checked for subjects
    before the model is loaded."""

    transforms: "Sequence[Transform] | None" = None
    """The transforms to apply, in order. None: the method is not closed-form and takes no transforms."""

    def train(self, model: "LoadedModel", environment: Environment, cases: Iterator[EditCase]) -> None:
        """Train the method's trained part and keep it in the cache. Called by ``wildcore prepare`` only."""
        raise TypeError(f"{type(self).__name__} trains nothing")

    def pin_resources(
        self, model: "LoadedModel", environment: Environment, recorded: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """Pin every resource that the parameters leave open or only name, such as which trained network to use or what
        a corpus contains, and return its description for the manifest, as JSON values.

        Called before ``prepare``. When a run is resumed, ``recorded`` is what this method returned the first time: use
        exactly that resource, or raise ``UserError`` saying which is missing and how to get it back.
        """
        return {}

    def prepare(self, model: "LoadedModel", environment: Environment) -> None:
        """Compute once what all edits share, such as second moments. Called before the first edit of a run."""
        return None

    def check(self, model: "LoadedModel", request: EditRequest) -> None:
        """Raise ``Refused`` for a request that ``edit`` refuses regardless of the other requests.

        Called for each request before several are written together, so that one bad request does not prevent the others
        from being written. The check looks at text and tokens only, and changes nothing. If an editor does not have it,
        the requests at fault are searched for by editing halves of the requests, which takes longer.
        """
        return None

    def edit(self, model: "LoadedModel", requests: Sequence[EditRequest]) -> Patch:
        """Return one patch that writes all ``requests``, at least one; leave ``model`` unchanged. May raise
        ``Refused``.

        An editor that has state builds upon the edits it has made since ``reset``.
        """
        ...

    def edit_each(self, model: "LoadedModel", requests: Sequence[EditRequest]) -> list[Patch | Refused]:
        """Return for each request one independent patch, as a new editor would make it, or the refusal of that request."""
        return map_or_refuse(partial(self._edit_alone, model), requests)

    def _edit_alone(self, model: "LoadedModel", request: EditRequest) -> Patch:
        self.reset()
        try:
            return self.edit(model, [request])
        finally:
            self.reset()

    def reset(self) -> None:
        """Clear the state that earlier edits left in the editor. What ``prepare`` computed is kept."""
        return None

    @property
    def state(self) -> Saved | None:
        """The state that earlier edits left in the editor, for ``restore``. None: the method has no state.

        Later edits must not modify a state that was returned.
        """
        return None

    def restore(self, state: Saved) -> None:
        """Set the editor to a ``state`` that was returned earlier."""
        raise TypeError(f"{type(self).__name__} has no state")

    def load_patch(self, model: "LoadedModel", saved: Saved) -> Patch:
        """Return the patch that ``saved`` contains. It was made by this method and is not a change of weights.

        The editor need not be prepared. The file may be damaged: raise ``ValueError`` for what does not fit ``model``, and
        convert nothing. A patch whose ``to_saved`` does not return all that ``saved`` holds is refused.
        """
        raise TypeError(f"{type(self).__name__} makes changes of weights only")
