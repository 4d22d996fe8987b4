"""Hyper-parameters of MEND. The published ones are the same for every model; layers are chosen by depth."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from wildcore import Departure, EditorParams, ModelShape

LAYERS_EDITED = 3
"""How many layers are edited by default."""

CHOSEN_PER_RUN = frozenset({"layer", "preset", "batch_loss", "trained_on", "checkpoint_seconds"})
"""Parameters that do not affect training, or that training records in another form."""


class MendParams(EditorParams):
    """Parameters of ``mend``. The defaults are the published ones, used for models of billions of parameters."""

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
    """Layers whose MLP projections are all edited, ascending, from 0. Left out: ``layer`` and the two before it, else the last
    three."""

    layer: int | None = None
    """Last of the layers. Left out: the last of ``layers``."""

    rank: int = Field(default=1920, gt=0)
    """Rank of the hyper-network's layers, limited to their width."""

    residual_layers: int = Field(default=2, gt=0)
    """Number of layers of the hyper-network."""

    steps: int = Field(default=100_000, gt=0)
    """Largest number of training steps, each on one case."""

    learning_rate: float = Field(default=1e-6, gt=0)
    """Adam's learning rate for the hyper-network."""

    edit_rate: float = 1e-4
    """Factor of an edit at the start of training, for every projection. It is learned, including its sign."""

    edit_rate_learning_rate: float = Field(default=1e-4, gt=0)
    """Adam's learning rate for the factors of the edits."""

    edit_weight: float = Field(default=0.1, ge=0)
    """Weight of the edited model's negative log-probability of the target."""

    locality_weight: float = Field(default=1.0, ge=0)
    """Weight of the divergence of the edited model from the unedited one, on the answer to a locality probe."""

    edit_loss: Literal["rephrasing", "prompt"] = "rephrasing"
    """Where the target is trained: after a rephrasing of the prompt if the case has one (the paper), or always after the edit
    prompt itself (EasyEdit)."""

    accumulate: int = Field(default=10, gt=0)
    """Number of steps whose gradients are accumulated for one update."""

    gradient_bound: float = Field(default=100.0, gt=0)
    """Largest norm of an update's gradient; a longer gradient is clipped to it."""

    held_out: int = Field(default=500, gt=0)
    """Most cases to hold out for validation, drawn by the seed; never more than a tenth of all cases."""

    validate_every: int = Field(default=1000, gt=0)
    """Number of steps between two validations."""

    patience: int = Field(default=20_000, gt=0)
    """Training ends when the loss on the held-out cases has not fallen for this many steps; the best network is kept."""

    checkpoint_seconds: float = Field(default=120.0, ge=0)
    """Seconds of training between two checkpoints. An interruption loses about this much, plus at most an update and a
    validation."""

    train_beginning_of_sequence: bool = False
    """Also train the beginning-of-sequence token one position before the target, as published code does by mistake."""

    batch_loss: Literal["sum", "mean"] = "sum"
    """How requests are edited together: by the sum of the changes that each would make alone (the paper), or by the gradient
    of the mean loss over all target tokens (published code)."""

    trained_on: str | None = None
    """Which hyper-network to use, if several were trained for the model and these parameters: the beginning of the hash of its
    training cases. Left out: the newest."""

    def for_model(self, shape: ModelShape) -> Self:
        """Return the parameters completed for a model. The user's values take precedence over the defaults.

        Raises ``UserError`` for an unknown preset, for layers that do not exist or are not ascending, and for a ``layer`` that
        is not the last of ``layers``.
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
