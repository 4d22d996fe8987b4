"""A loaded model during one call: with the settings of a freshly loaded one, and unedited."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wildcore.errors import Option, UserError

if TYPE_CHECKING:
    from wildcore.models.loaded import LoadedModel


@contextmanager
def in_use(model: "LoadedModel", batch_size: int | None = None) -> Iterator[None]:
    """Give ``model`` the settings of a freshly loaded one, with at most ``batch_size`` prompts in a batch; restore them
    afterwards.

    Raises ``UserError`` for a model that carries a patch.
    """
    require_unedited(model)
    max_batch_size, model.max_batch_size = model.max_batch_size, batch_size
    model.warnings.clear()
    try:
        yield
    finally:
        model.max_batch_size = max_batch_size


def require_unedited(model: "LoadedModel") -> None:
    """Raise ``UserError`` if ``model`` is not a loaded model, or carries a patch."""
    from wildcore.models.loaded import LoadedModel

    if not isinstance(model, LoadedModel):
        raise UserError(
            f"expected a model that wildcore.api.load returned, found {type(model).__name__}", Option("model")
        )
    if model.carries_patches:
        raise UserError(
            "a patch is applied to it now, and this call needs it unedited",
            about=f"model {model.request.name}",
            way_out="call it outside of `with patch.applied(model):`, and hand it the patch (patch=...) where it takes one",
        )
