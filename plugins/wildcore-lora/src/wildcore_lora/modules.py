"""The modules of a network that are adapted."""

from collections.abc import Iterable, Sequence

from wildcore import Family, Parameter, UserError


def adapted_modules(family: Family, layers: Iterable[int], wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the full names of the ``wanted`` projections in ``layers``, each once.

    Each of ``wanted`` is a role that every family has, such as attention-input; a path in the layer, such as self_attn.q_proj;
    or the path's last part. Raises ``UserError`` for a name that ``family`` does not have in any of these forms.
    """
    paths = [path for name in wanted for path in _paths(family, name)]
    return tuple(f"{family.layers}.{layer}.{path}" for layer in sorted(set(layers)) for path in dict.fromkeys(paths))


def _paths(family: Family, wanted: str) -> list[str]:
    roles = {
        "attention-input": family.attention_input,
        "attention-output": (family.attention_output,),
        "mlp-input": family.mlp_input,
        "mlp-output": (family.mlp_output,),
    }
    if wanted in roles:
        return list(roles[wanted])
    every = [path for of_role in roles.values() for path in of_role]
    found = [path for path in every if wanted in (path, path.rpartition(".")[2])]
    if not found:
        own = dict.fromkeys(path.rpartition(".")[2] for path in every)
        raise UserError(
            f"{family.model_type} has no {wanted!r}",
            Parameter("editor.modules"),
            f"there are {', '.join(roles)}, and by their own names {', '.join(own)}",
        )
    return found
