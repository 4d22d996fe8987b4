"""In what runs differ: one column for each thing that differs, and a short label for each run made of nothing else."""

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from itertools import product
from typing import Any

from wildcore.jobs.build import name_in_words
from wildcore.records.schema import Manifest, flatten
from wildcore.reporting.run import NO_SCORE_DEPENDS_ON
from wildcore.types import PROBE_KINDS, FrozenData

PARTS = ("context", "generator", "truncator")
METRIC = "metric"
OF_THE_MODEL = ("dtype", "device", "device_map")
IN_COLUMNS = ("model", "dataset", "editor", "protocols", "schedule", "seed", NO_SCORE_DEPENDS_ON)
"""Fields of the identity that have columns of their own, or on which no score depends."""
LONGEST_VALUE = 24
"""Longest value of a parameter, in characters, that a column shows whole."""
LONGEST_IN_LABEL = 48
"""Longest value of a column, in characters, that a label contains whole."""

REVISION = "source revision"
NO_DIFFERENCE = frozenset({"device", "memory_gib"})
"""Hardware fields that ``compare`` ignores, because no result depends on them: the device's index (its type is part of the
identity) and the size of the memory."""

Identity = Mapping[str, Any]


class Column(FrozenData):
    """One thing in which runs differ: its name, such as "truncator", and its value for each run, empty if it has none.

    ``in_labels``: the value is part of the runs' labels. ``named``: a label says the name too, as in "seed 5".
    """

    name: str
    values: tuple[str, ...]
    in_labels: bool = True
    named: bool = False


def aligned_protocols(manifests: Sequence[Manifest]) -> list[dict[str, str]]:
    """Return for each run the name under which each of its protocols is compared.

    A variant of a protocol has a name of its own, such as "wild[truncator: gold-length]". It is compared with the protocol, or
    with its other variants, as that protocol, if no run has several of these.
    """
    by_base: dict[str, list[list[str]]] = defaultdict(lambda: [[] for _ in manifests])
    for index, manifest in enumerate(manifests):
        for protocol in manifest.protocols:
            by_base[protocol.variant_of or protocol.name][index].append(protocol.name)
    found: list[dict[str, str]] = [{} for _ in manifests]
    for base, of_runs in by_base.items():
        names = {name for of_run in of_runs for name in of_run}
        alike = len(names) > 1 and all(len(of_run) < 2 for of_run in of_runs)
        for index, of_run in enumerate(of_runs):
            found[index].update({name: base if alike else name for name in of_run})
    return found


def also_called(manifests: Sequence[Manifest], names: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Return the other names of each protocol that is compared: those of its variants, and that of the protocol of which it is
    a variant. ``names`` are those that ``aligned_protocols`` returns.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for manifest, of_run in zip(manifests, names, strict=True):
        for protocol in manifest.protocols:
            found[of_run[protocol.name]] += [protocol.name, *([protocol.variant_of] if protocol.variant_of else [])]
    return {name: list(dict.fromkeys(others)) for name, others in found.items()}


def aligned(identity: Identity, names: Mapping[str, str]) -> dict[str, Mapping[str, Any]]:
    """Return the modules of each protocol of a run, by the name under which it is compared."""
    return {names.get(name, name): modules for name, modules in identity.get("protocols", {}).items()}


def columns(identities: Sequence[Identity], names: Sequence[Mapping[str, str]]) -> list[Column]:
    """Return the things in which runs differ, the editor first. ``names`` are those that ``aligned_protocols`` returns."""
    models = [identity["model"] for identity in identities]
    editors = [identity["editor"] for identity in identities]
    protocols = [aligned(identity, of_run) for identity, of_run in zip(identities, names, strict=True)]
    found = [
        Column(name="editor", values=_of_the_editor(editors, models)),
        Column(name="model", values=_of_the_model(models)),
        *(Column(name=key, values=_plain(models, key), in_labels=key == "dtype") for key in OF_THE_MODEL),
        *_of_the_cases([identity["dataset"] for identity in identities]),
        *_of_the_schedule([identity.get("schedule", {}) for identity in identities]),
        *(_of_a_part(protocols, part) for part in (*PARTS, METRIC)),
        Column(name="seed", values=_plain(identities, "seed"), named=True),
        *_others(identities),
    ]
    return [column for column in found if len(set(column.values)) > 1]


def labels(chosen: Sequence[Column], count: int) -> list[str]:
    """Return a label for each of ``count`` runs: its values in the columns. Labels that would be equal are told apart by the
    other columns, and if that is not enough, by the run's number.
    """
    found = _joined([column for column in chosen if column.in_labels], count)
    if len(set(found)) < count:
        found = _joined(chosen, count)
    twice = {label for label in found if found.count(label) > 1}
    return [
        (f"{label} (run {number})" if label else f"run {number}") if label in twice else label
        for number, label in enumerate(found, start=1)
    ]


def numbered(run: int, label: str) -> str:
    """Return the name of a run in a table: its number and its label."""
    return label if label == f"run {run}" else f"{run} {label}"


def told_apart(names: Sequence[str], details: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the names of things; where several have one name, followed by the details in which these differ."""
    found = list(names)
    for name in set(names):
        same = [index for index, other in enumerate(names) if other == name]
        keys = sorted({key for index in same for key in details[index]})
        differing = [key for key in keys if len({str(details[index].get(key)) for index in same}) > 1]
        for index in same if differing else ():
            said = (f"{key}={_short(details[index].get(key))}" for key in differing)
            found[index] = f"{name}({', '.join(said)})"
    return tuple(found)


def told_apart_within(
    groups: Sequence[str], names: Sequence[str], details: Sequence[Mapping[str, Any]]
) -> tuple[str, ...]:
    """Return the names of things, told apart from others of the same group alone."""
    found = list(names)
    for group in set(groups):
        of_group = [index for index, one in enumerate(groups) if one == group]
        told = told_apart([names[index] for index in of_group], [details[index] for index in of_group])
        for index, name in zip(of_group, told, strict=True):
            found[index] = name
    return tuple(found)


def beside_the_columns(identities: Sequence[Identity], manifests: Sequence[Manifest]) -> list[str]:
    """Return in words in what else runs differ: parameters of an editor that differ between models, fields of the identity with
    long values, versions of packages, and hardware.
    """
    editors = [identity["editor"] for identity in identities]
    shown = _of_the_editor(editors, [identity["model"] for identity in identities])
    said = []
    for name in dict.fromkeys(shown):
        details = [_details(one) for one, of_run in zip(editors, shown, strict=True) if of_run == name]
        cut = [{key: _short(value, 60) for key, value in one.items()} for one in details]
        said += [f"{name}: {text}" for text in differences(cut)]
    return [*said, *differences(_long(identities)), *versions_and_hardware(manifests)]


def versions_and_hardware(manifests: Sequence[Manifest]) -> list[str]:
    """Return in words in which versions of packages, and in what hardware, runs differ.

    A package that one run did without affects no result and is left out.
    """
    of_all = set.intersection(*(set(manifest.versions) for manifest in manifests)) | {REVISION}
    return [
        *differences([_versions(manifest, of_all) for manifest in manifests]),
        *differences([_hardware(manifest) for manifest in manifests]),
    ]


def differences(said: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return each key whose values differ, with its values in the order of the runs, in words."""
    keys = sorted({key for one in said for key in one})
    values = {key: list(dict.fromkeys(_value(one.get(key)) for one in said)) for key in keys}
    return [f"{key} is {' or '.join(found)}" for key, found in values.items() if len(found) > 1]


def _value(value: Any) -> str:
    return "none" if value is None else str(value)


def _joined(chosen: Sequence[Column], count: int) -> list[str]:
    said = (
        [value and _short(f"{one.name} {value}" if one.named else value, LONGEST_IN_LABEL) for value in one.values]
        for one in chosen
    )
    return [", ".join(filter(None, of_run)) for of_run in zip(*said, strict=True)] if chosen else [""] * count


def _details(module: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a module's description says besides its name, the parameters by their names alone."""
    rest = {key: value for key, value in module.items() if key not in ("name", "plugin")}
    return {key.replace("params.", ""): value for key, value in flatten(rest).items() if key}


def _of_the_editor(editors: Sequence[Mapping[str, Any]], models: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the names of editors, those of one name on one model with the parameters in which they differ.

    Many parameters have another default for each model, such as the layer, so those of different models are not shown.
    """
    groups = [str(sorted(one.items(), key=str)) for one in models]
    return told_apart_within(groups, list(map(name_in_words, editors)), list(map(_details, editors)))


def _of_the_model(models: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the names of models, those of one name and one dtype, on which the fingerprint depends, with what tells them apart:
    the revision if there is one, else the fingerprints.
    """
    keys = ("fingerprint", "tokenizer_fingerprint")
    details = [{key: one.get(key) for key in (("revision",) if one.get("revision") else keys)} for one in models]
    return told_apart_within([str(one.get("dtype")) for one in models], _short_names(models), details)


def short_name(model: str) -> str:
    """Return the last part of a model's name, which may be a path or begin with an owner."""
    return model.rstrip("/").rpartition("/")[2] or model


def _short_names(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the short names of models if they tell models apart as well as the whole names, else these."""
    names = [str(one["name"]) for one in models]
    short = list(map(short_name, names))
    return short if len(set(short)) == len(set(names)) else names


def _plain(said: Sequence[Mapping[str, Any]], key: str) -> tuple[str, ...]:
    return tuple(str(one[key]) if key in one else "" for one in said)


def _of_the_cases(datasets: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Return the columns of the dataset and of the choice of cases; none of runs with the same cases."""
    if len({(one["name"], one.get("hash"), one.get("cases")) for one in datasets}) < 2:
        return []
    source = [{key: value for key, value in flatten(one.get("params", {})).items() if key} for one in datasets]
    return [
        Column(name="dataset", values=told_apart([one["name"] for one in datasets], source)),
        Column(name="cases", values=tuple(map(_chosen_cases, datasets))),
    ]


def _chosen_cases(dataset: Mapping[str, Any]) -> str:
    """Return how the cases of a dataset were chosen, such as "first 10" or "8 drawn (sample seed 3)"."""
    where = [f"{key}={value}" for key, value in (dataset.get("where") or {}).items()]
    if dataset.get("sample") is not None:
        where.insert(0, f"{dataset['sample']} drawn (sample seed {dataset.get('seed')})")
    elif dataset.get("limit") is not None:
        where.insert(0, f"first {dataset['limit']}")
    elif "cases" in dataset:
        where.insert(0, f"{dataset['cases']} cases")
    return ", ".join(where)


def _of_the_schedule(schedules: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Return the columns of the schedule: how edits are written, in which order, and when they are evaluated."""
    edits = [str(one.get("edits", "")) for one in schedules]
    size = [{"edits per update": one["edits_per_update"]} if "edits_per_update" in one else {} for one in schedules]
    together = [one for one in schedules if one.get("edits") == "sequential"]
    found = [
        Column(name="schedule", values=told_apart(edits, size)),
        Column(name="order", values=_plain(schedules, "order")),
    ]
    if len({one.get("judged") for one in together}) > 1:
        judged = (str(one.get("judged")) if one in together else "" for one in schedules)
        found.append(Column(name="evaluated", values=tuple(judged), in_labels=False))
    return found


def _of_a_part(protocols: Sequence[Mapping[str, Mapping[str, Any]]], part: str) -> Column:
    """Return the column of a module of the protocols. If they differ in several protocols, it lists the modules of these."""
    shared = list(dict.fromkeys(name for of_run in protocols for name in of_run))
    found: list[list[str]] = [[] for _ in protocols]
    where = set()
    for name, kind in product(shared, PROBE_KINDS if part == METRIC else ("",)):
        used = {i: use for i, of_run in enumerate(protocols) if (use := _use(of_run.get(name, {}), part, kind))}
        values = told_apart(list(map(_named, used.values())), list(map(_details_of_uses, used.values())))
        if len(set(values)) > 1:
            where.add(name)
            for index, value in zip(used, values, strict=True):
                found[index] += [value] if value not in found[index] else []
    title = f"{where.pop()}.{part}" if len(where) == 1 and len(shared) > 1 else part
    return Column(name=title, values=tuple(", ".join(of_run) for of_run in found))


def _use(modules: Mapping[str, Any], part: str, kind: str) -> list[Mapping[str, Any]]:
    """Return the modules that a protocol has as a ``part``: one, or the metrics for a probe kind."""
    if part == METRIC:
        return list(modules.get("metrics", {}).get(kind, ()))
    return [modules[part]] if part in modules else []


def _named(used: Sequence[Mapping[str, Any]]) -> str:
    return " + ".join(str(one["name"]) for one in used)


def _details_of_uses(used: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    several = len(used) > 1
    return {f"{one['name']}.{k}" if several else k: value for one in used for k, value in _details(one).items()}


def _others(identities: Sequence[Identity]) -> list[Column]:
    """Return columns for the other fields of the identity, whose values are short."""
    said = list(map(_flat_others, identities))
    keys = sorted({key for one in said for key in one})
    values = {key: _plain(said, key) for key in keys}
    return [
        Column(name=key, values=found, in_labels=False, named=True)
        for key, found in values.items()
        if all(len(value) <= LONGEST_VALUE for value in found)
    ]


def _long(identities: Sequence[Identity]) -> list[dict[str, str]]:
    """Return the other fields of the identity whose values are too long for a column."""
    said = list(map(_flat_others, identities))
    long = {key for one in said for key, value in one.items() if len(str(value)) > LONGEST_VALUE}
    return [{key: _short(value, 60) for key, value in one.items() if key in long} for one in said]


def _flat_others(identity: Identity) -> dict[str, Any]:
    return flatten({key: value for key, value in identity.items() if key not in IN_COLUMNS})


def _short(value: Any, most: int = LONGEST_VALUE) -> str:
    text = str(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _versions(manifest: Manifest, chosen: Container[str]) -> dict[str, str]:
    return {f"version of {name}": version for name, version in manifest.versions.items() if name in chosen}


def _hardware(manifest: Manifest) -> dict[str, Any]:
    return {f"hardware.{key}": value for key, value in manifest.hardware.items() if key not in NO_DIFFERENCE}
