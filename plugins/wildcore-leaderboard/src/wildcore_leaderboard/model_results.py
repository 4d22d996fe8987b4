"""Evaluation results of an edited model, in the two forms that the Hugging Face hub reads from a model's folder.

``model-index`` in the metadata of README.md, and a file in ``.eval_results``, which the hub also shows on the page of a dataset.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wildcore import Option, UserError
from wildcore.jobs.build import name_in_words
from wildcore.records.run_folder import RunFolder
from wildcore.scoring.clusters import subjects
from wildcore.scoring.means import SummaryRow, summarise

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCard

TASK = "text-generation"
CARD = "README.md"
RESULTS = ".eval_results"
TEXT = """
# {name}

A language model into which facts were written by wildcore.

The numbers were measured on the unedited model with these edits applied, and not by loading this folder.
"""


def require_one_model(run: RunFolder) -> None:
    """Raise ``UserError`` unless one model carries all edits of the run when it is evaluated."""
    identity, count = run.manifest.identity, run.manifest.case_count
    schedule = identity["schedule"]
    together = schedule["edits"] == "sequential" or (
        schedule["edits"] == "batch" and schedule.get("edits_per_update", 0) >= count
    )
    if "patch" not in identity["editor"] and not together:
        raise UserError(
            "its edits were evaluated apart from each other, so no model has these numbers",
            Option("model_card"),
            "publish a run that evaluates a patch, a sequence, or one batch",
        )


def require_model_folder(folder: Path) -> None:
    """Raise ``UserError`` unless ``folder`` is that of a model."""
    if not (folder / "config.json").is_file():
        raise UserError(
            "not the folder of a model (no config.json in it)",
            Option("model_card", folder),
            "name a folder that wildcore apply wrote",
        )


def results(run: RunFolder, source: str) -> "list[EvalResult]":
    """Return the numbers of a run as evaluation results; ``source`` is the address of the published run."""
    from huggingface_hub import EvalResult

    identity = run.manifest.identity
    dataset = identity["dataset"]
    hub = _hub_name(dataset)
    return [
        EvalResult(
            task_type=TASK,
            task_name="Model editing",
            dataset_type=hub or str(dataset["name"]),
            dataset_name=f"{dataset['name']} ({run.manifest.case_count} cases, hash {dataset.get('hash')})",
            dataset_revision=dataset.get("params", {}).get("revision"),
            metric_type=_metric_type(row.metric),
            metric_name=f"{row.kind} under {row.protocol}, {row.metric}",
            metric_value=round(row.after, 6),
            metric_config=row.protocol,
            source_name=f"wildcore run of {name_in_words(identity['editor'])}",
            source_url=source,
        )
        for row in _rows(run)
        if row.after is not None
    ]


def _rows(run: RunFolder) -> Sequence[SummaryRow]:
    return summarise(run.scores(), subjects(run.cases()))


def _metric_type(label: str) -> str:
    return label.partition("(")[0].rpartition("/")[2].replace("-", "_")


def _hub_name(dataset: Mapping[str, Any]) -> str | None:
    hub = dataset.get("params", {}).get("hub")
    return hub if isinstance(hub, str) and hub.count("/") == 1 else None


def model_card(folder: Path, found: "Sequence[EvalResult]") -> "ModelCard":
    """Return the card of the model in ``folder`` with these results; those of other evaluations are kept.

    Raises ``UserError`` if the card that is there cannot be read.
    """
    from huggingface_hub import ModelCard, ModelCardData

    file = folder / CARD
    if not file.is_file():
        data = ModelCardData(
            model_name=folder.resolve().name, eval_results=list(found), tags=["wildcore", "model-editing"]
        )
        return ModelCard(f"---\n{data.to_yaml()}\n---\n{TEXT.format(name=folder.resolve().name)}")
    try:
        card = ModelCard(file.read_text(encoding="utf-8"))
    except Exception as error:  # huggingface_hub and YAML raise what they like
        raise UserError(
            f"its card cannot be read ({' '.join(str(error).split())})", Option("model_card", file), "mend or remove it"
        ) from error
    kept = [old for old in card.data.eval_results or [] if not any(old.is_equal_except_value(new) for new in found)]
    card.data.eval_results = [*kept, *found]
    card.data.model_name = card.data.get("model_name") or folder.resolve().name
    return card


def results_file(run: RunFolder, source: str) -> tuple[str, str] | None:
    """Return name and content of the file of evaluation results. None: the dataset is not one of the hub."""
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    identity = run.manifest.identity
    hub = _hub_name(identity["dataset"])
    if hub is None:
        return None
    editor = name_in_words(identity["editor"])
    entries = [
        EvalResultEntry(
            dataset_id=hub,
            task_id=f"{row.protocol}-{row.kind}",
            value=round(row.after, 6),
            date=run.manifest.created,
            source_url=source,
            source_name="wildcore",
            notes=f"{editor}, {run.manifest.case_count} cases, {row.metric}",
        )
        for row in _rows(run)
        if row.after is not None
    ]
    text = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True)
    return f"{RESULTS}/wildcore-{run.manifest.identity['dataset'].get('hash')}.yaml", text
