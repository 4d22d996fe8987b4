"""The update of several layers, projected, and the memory of earlier edits.

Each layer l writes its share R of the remaining difference (Fang et al., ICLR 2025)::

    Delta_l = R K^T P (K_p K_p^T P + K K^T P + c I)^-1

The columns of K are the keys of the requests, those of K_p the keys of all earlier requests. P projects onto the directions that
ordinary text hardly uses. Values and shares are those of MEMIT.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from wildcore_keyvalue.moment_source import MomentSource
from wildcore_keyvalue.several_layers import SeveralLayers
from wildcore_keyvalue.values import required

from wildcore import EditRequest, Environment, Parameter, Saved, Setting, UserError
from wildcore.models import LoadedModel
from wildcore.patches import WeightPatch
from wildcore_alphaedit.null_space import NullSpace, Spectrum, spectra
from wildcore_alphaedit.parameters import AlphaEditParams
from wildcore_alphaedit.solve import united, written_alone, written_together


class AlphaEdit(SeveralLayers):
    """AlphaEdit. Its state is the keys of all requests written so far, ``earlier``: [inputs, requests] for each layer."""

    params: AlphaEditParams

    def __init__(self, params: AlphaEditParams) -> None:
        super().__init__(params)
        self.null_spaces: dict[int, NullSpace] = {}
        self.earlier: dict[int, Tensor] = {}

    def pin_resources(
        self, model: LoadedModel, environment: Environment, recorded: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the hashes of the prefixes' file and of the corpus or the files of second moments."""
        moments = MomentSource.of(self.params).pinned_resources(self.layers)
        return super().pin_resources(model, environment, recorded) | moments

    def prepare_layers(self, model: LoadedModel, environment: Environment) -> None:
        """Compute each layer's null space, or read it from the cache, and note its size.

        Raises ``UserError`` if no direction can be written to, or none would be protected.
        """
        note = environment.progress.note
        found = spectra(model, self.layers, MomentSource.of(self.params), environment)
        for layer, spectrum in found.items():
            directions, width = self._directions(layer, spectrum), len(spectrum.values)
            share = f"{spectrum.share(directions):.2g} of the keys' mean square"
            note(f"null space of layer {layer}: {directions} of {width} directions, {share}")
            self.null_spaces[layer] = NullSpace(spectrum, directions, model.device)
        few = [one.tokens for one in found.values() if one.tokens is not None and one.tokens < len(one.values)]
        if few:
            note(
                (
                    f"the null space is that of {min(few)} tokens, fewer than keys are wide, and so larger than it should be; "
                    "read more (",
                    Setting("editor.moment_tokens", "NUMBER"),
                    ")",
                )
            )

    def _directions(self, layer: int, spectrum: Spectrum) -> int:
        threshold, share = self.params.nullspace_threshold, self.params.nullspace_share
        if threshold is None:
            assert share is not None, "parameters are completed for a model first"
            given, directions = Parameter("editor.nullspace_share", share), spectrum.within(share)
        else:
            given, directions = Parameter("editor.nullspace_threshold", threshold), spectrum.below(threshold)
        if 0 < directions < len(spectrum.values):
            return directions
        low, high = (float(spectrum.values[end]) for end in (0, -1))
        fault, way_out = (
            ("no direction may be written to", "raise it")
            if not directions
            else ("no direction is protected", "lower it")
        )
        raise UserError(
            f"in layer {layer} eigenvalues lie between {low:.2g} and {high:.2g}, and {fault}", given, way_out
        )

    def solve_jointly(self, layer: int, keys: Tensor) -> Tensor:
        """Return the right factor [inputs, n] for keys [inputs, n], given the earlier keys."""
        earlier = self.earlier.get(layer, keys[:, :0])
        return written_together(keys, earlier, self.null_spaces[layer], self.params.update_penalty)

    def solve_independently(self, layer: int, keys: Tensor) -> Tensor:
        """Return the right factors [inputs, n] for keys [inputs, n], each column as a new editor would write it."""
        return written_alone(keys, self.null_spaces[layer], self.params.update_penalty)

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> WeightPatch:
        """Return the update that writes all ``requests`` and preserves the keys of earlier ones; their own keys are then added
        to these.

        The keys are those in the edited model, as in published code, since later updates must preserve these. Raises
        ``Refused`` if the subject of any request is not in its prompt.
        """
        problems = required(self.posed(model, requests))
        patch = self.written(model, problems)
        with patch.applied(model):
            keys = {layer: self.keys_and_states(model, layer, problems)[0].T for layer in self.layers}
        self.earlier = {layer: united(self.earlier.get(layer, own[:, :0]), own) for layer, own in keys.items()}
        return patch

    def reset(self) -> None:
        """Clear the keys of earlier edits."""
        self.earlier = {}

    @property
    def state(self) -> Saved:
        """The keys of earlier edits."""
        return Saved({f"earlier-keys.{layer}": keys for layer, keys in self.earlier.items()}, {})

    def restore(self, state: Saved) -> None:
        """Set the keys of earlier edits. Raises ``UserError`` if they belong to other layers."""
        layers = {int(name.rpartition(".")[2]): keys for name, keys in state.tensors.items()}
        if layers and tuple(sorted(layers)) != self.layers:
            raise UserError(
                f"the earlier edits were written to {sorted(layers)}",
                Parameter("editor.layers", list(self.layers)),
                "edit the same layers",
            )
        self.earlier = layers
