"""Hyper-parameters of MEND. The same ones were published for every model; for which layers, goes by depth."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from wildcore import Departure, EditorParams, ModelShape

LAYERS_EDITED = 3
"""How many layers are edited where nothing says which."""

CHOSEN_PER_RUN = frozenset({"layer", "preset", "batch_loss", "trained_on", "checkpoint_seconds"})
"""Parameters that have no effect on training, or are there in another form."""


class MendParams(EditorParams):
    """Parameters of ``mend``; the defaults are the published ones, with which models of billions of parameters were trained."""

    departures: ClassVar[tuple[Departure, ...] | None] = (
        Departure(
            "train_beginning_of_sequence",
            False,
            True,
            "EasyEdit tokenises the target with special tokens, so that the beginning-of-sequence token is asked too, by "
            "oversight",
        ),
        Departure(
            "batch_loss",
            "sum",
            "mean",
            "the paper sums what each request does alone; the code takes the gradient of the mean loss over all target tokens",
        ),
        Departure(
            "edit_loss",
            "rephrasing",
            "prompt",
            "the paper trains on rephrasings; EasyEdit trains on the edit prompt itself",
        ),
        Departure(
            "edit_rate_learning_rate",
            1e-4,
            1e-6,
            "the code means to train the factors of edits at 1e-4, but its other optimiser trains them at its own rate, 1e-6",
        ),
        Departure(
            "locality position",
            "where the answer is said",
            "one position late",
            "EasyEdit compares what the model says beside the edit one position late in training, by oversight; it is "
            "not offered",
            by_switch=False,
        ),
    )

    layers: tuple[int, ...] | None = None
    """Layers whose MLP projections, all of them, are edited, ascending, from 0. Left out: ``layer`` and the two before it, else
    the last three."""

    layer: int | None = None
    """Last of the layers. Left out: the last of ``layers``."""

    rank: int = Field(default=1920, gt=0)
    """Rank of the hyper-network's layers; never more than they are wide."""

    residual_layers: int = Field(default=2, gt=0)
    """Layers of the hyper-network."""

    steps: int = Field(default=100_000, gt=0)
    """Most training steps, each on one case."""

    learning_rate: float = Field(default=1e-6, gt=0)
    """Adam's learning rate in training the hyper-network."""

    edit_rate: float = 1e-4
    """Factor of an edit at the start of training, for every projection; it is learned, its sign too."""

    edit_rate_learning_rate: float = Field(default=1e-4, gt=0)
    """Adam's learning rate in training the factors of the edits."""

    edit_weight: float = Field(default=0.1, ge=0)
    """Weight of the edited model's negative log-probability of the target."""

    locality_weight: float = Field(default=1.0, ge=0)
    """Weight of the divergence of the edited model from the unedited one, on the answer to a locality probe."""

    edit_loss: Literal["rephrasing", "prompt"] = "rephrasing"
    """Where training asks for the target: after a rephrasing of the prompt where the case has any, as the paper has it, or
    always after the edit prompt itself, as in EasyEdit."""

    accumulate: int = Field(default=10, gt=0)
    """Steps whose gradients make one update."""

    gradient_bound: float = Field(default=100.0, gt=0)
    """Largest norm of an update's gradient; a longer one is shortened."""

    held_out: int = Field(default=500, gt=0)
    """Most cases to set aside for validation, drawn by the seed; never more than a tenth of them."""

    validate_every: int = Field(default=1000, gt=0)
    """Steps between two validations."""

    patience: int = Field(default=20_000, gt=0)
    """Training ends when the loss on the cases held out has not fallen for so many steps; the best network is kept."""

    checkpoint_seconds: float = Field(default=120.0, ge=0)
    """Seconds of training between two checkpoints: what is lost when it is interrupted, give or take an update and a
    validation."""

    train_beginning_of_sequence: bool = False
    """Also ask the beginning-of-sequence token one position before the target, as published code does by oversight."""

    batch_loss: Literal["sum", "mean"] = "sum"
    """How requests are edited together: by the sum of what each would do alone, as the paper has it, or by the gradient of the
    mean loss over all target tokens, as in published code."""

    trained_on: str | None = None
    """Which hyper-network to use, where several were trained for the model and these parameters: the beginning of the hash of
    the cases it was trained on. Left out: the newest."""

    def for_model(self, shape: ModelShape) -> Self:
        """Return the parameters completed for a model: the user's over the defaults.

        Raises ``UserError`` for an unknown preset, layers that the model does not have or that are not ascending, and a
        ``layer`` that is not the last of ``layers``.
        """
        named = self.model_copy(update=self._of_layers(self._layers(shape), shape))
        return super(MendParams, named).for_model(shape)

    def _layers(self, shape: ModelShape) -> tuple[int, ...]:
        if self.layers is not None:
            return self.layers
        last = shape.layers - 1 if self.layer is None else self.layer
        return tuple(range(min(last, max(0, last - LAYERS_EDITED + 1)), last + 1))

    def of_training(self) -> dict[str, Any]:
        """Return what the trained network depends on, as JSON values."""
        return self.model_dump(mode="json", exclude=set(CHOSEN_PER_RUN))
