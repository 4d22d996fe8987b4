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


def test_layers_above_the_one_that_is_read_are_not_computed() -> None:
    model = tiny_model("llama")
    above: list[torch.nn.Module] = []
    model.layers[-1].register_forward_hook(lambda module, _inputs, _output: above.append(module))
    texts = [without_target(model, text, "France") for text in ("France is", "The capital of France")]
    keys, _ = keys_and_values(model, 0, texts)
    again, states = keys_and_states(model, 0, model.layers[0], texts)
    assert not above
    at_last, _ = keys_and_states(model, 0, model.layers[-1], texts)
    assert above
    assert torch.equal(keys, again)
    assert torch.equal(keys, at_last)
    assert states.shape == (2, model.network.config.hidden_size)
