"""Recorded keys and values are those that the projection had, also in a network that changes its output in place."""

import torch
from wildcore_keyvalue.prompts import without_target
from wildcore_keyvalue.traces import keys_and_states, keys_and_values

from wildcore.testing.networks import tiny_model


def test_values_are_recorded_before_the_network_changes_them_in_place() -> None:
    model = tiny_model("llama")
    model.layers[1].mlp.register_forward_hook(lambda _module, _inputs, output: output.mul_(0.5))
    projection = model.mlp_output(1).module
    texts = [without_target(model, text, "France") for text in ("France is", "The capital of France")]
    keys, values = keys_and_values(model, 1, texts)
    again, states = keys_and_states(model, 1, projection, texts)
    with torch.inference_mode():
        torch.testing.assert_close(values, projection.forward(keys))
    assert torch.equal(states, values)
    assert torch.equal(again, keys)
