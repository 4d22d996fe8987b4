"""Options that several commands share, and what their values mean."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from wildcore.completion import complete_models, complete_offers
from wildcore.defaults import EMBEDDED_MODEL
from wildcore.errors import UserError
from wildcore.scripts import SEPARATORS
from wildcore.types import FrozenData

Command = TypeVar("Command", bound=Callable[..., Any])
SEEDS = click.IntRange(0, 2**63 - 1)


def auto_or_number(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    """Return a value that is "auto" or a number from 1. Raises ``click.BadParameter`` for any other."""
    if value != "auto" and not (value.isdecimal() and int(value) > 0):
        raise click.BadParameter(f"{value!r} is neither auto nor a number from 1")
    return value


def seconds_or_never(ctx: click.Context, parameter: click.Parameter, value: str) -> float | None:
    """Return a number of seconds from 0, or None for "never". Raises ``click.BadParameter`` for any other value."""
    if value == "never":
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise click.BadParameter(f"{value!r} is neither never nor a number of seconds from 0")
    return seconds


def with_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return the decorator that adds ``options`` to a command, in this order in its help."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


MODEL = click.option(
    "--model",
    default=EMBEDDED_MODEL,
    show_default=True,
    shell_complete=complete_models,
    help="Embedded model, local folder, or hub name.",
)
REVISION = click.option("--revision", help="Revision of a hub model.")
DTYPE = click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16", "float64"]),
    default="auto",
    show_default=True,
    help="Dtype of the weights; float64 is for comparing editors with other implementations.",
)
DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
DEVICE_MAP = click.option("--device-map", metavar="auto", help="Spread the model over all devices through accelerate.")
TRUST_REMOTE_CODE = click.option("--trust-remote-code", is_flag=True, help="Run the Python code in the model's folder.")
MERGE_ADAPTER = click.option(
    "--merge-adapter", is_flag=True, help="Merge the adapter in the model's folder into its base model."
)
PROTOCOL_FILES = click.option(
    "--protocol-file",
    "protocol_files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A protocol of your own, TOML or YAML.",
)
CONTEXT = click.option("--context", shell_complete=complete_offers("context"), help="Replace the protocols' context.")
GENERATOR = click.option(
    "--generator", shell_complete=complete_offers("generator"), help="Replace the protocols' generation strategy."
)
TRUNCATOR = click.option(
    "--truncator", shell_complete=complete_offers("truncator"), help="Replace the protocols' truncation."
)
METRICS = click.option(
    "--metric",
    "metrics",
    multiple=True,
    shell_complete=complete_offers("metric"),
    help="Replace the protocols' metrics; several allowed.",
)
SETTINGS = click.option(
    "--set", "settings", multiple=True, metavar="SECTION.NAME=VALUE", help="Set a parameter: editor.layer=5."
)
AS_PUBLISHED = click.option(
    "--as-published",
    is_flag=True,
    help="Edit as the method's published code does, not as its paper says; describe shows where.",
)
TRACE = click.option(
    "--trace", is_flag=True, help="Save losses, keys and values of each edit: in RUN/traces, or beside the patch."
)
WHERE = click.option(
    "--where", multiple=True, metavar="TAG=VALUE", help="Use only cases with this tag, such as source=NQ."
)
LIMIT = click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Use only the first N cases.")
SAMPLE = click.option(
    "--sample", type=click.IntRange(min=1), metavar="N", help="Use N cases drawn at random with --sample-seed."
)
SAMPLE_SEED = click.option(
    "--sample-seed",
    type=SEEDS,
    default=0,
    show_default=True,
    metavar="SEED",
    help="Seed by which cases, examples and hard probes are drawn.",
)
SKIP_MALFORMED = click.option(
    "--skip-malformed", is_flag=True, help="Leave malformed rows out; they are counted and listed."
)
SEED = click.option(
    "--seed",
    type=SEEDS,
    default=0,
    show_default=True,
    metavar="SEED",
    help="Seed of what the editor draws at random; cases are drawn by --sample-seed.",
)
BATCH_SIZE = click.option(
    "--batch-size", type=click.IntRange(min=1), default=32, show_default=True, help="Most prompts in one batch."
)
TARGET_SEPARATOR = click.option(
    "--target-separator",
    type=click.Choice(list(SEPARATORS)),
    default="auto",
    show_default=True,
    help="What stands between a prompt and its target. auto: nothing in scripts without spaces, such as Chinese, else a space.",
)
HARD_LOCALITY = click.option(
    "--hard-locality",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Also ask up to N facts of the dataset about the same subject, and N about a near subject with the same relation.",
)
THREADS = click.option(
    "--threads",
    metavar="auto|N",
    default="auto",
    show_default=True,
    callback=auto_or_number,
    envvar="WILDCORE_THREADS",
    help="Threads on the CPU. auto: OMP_NUM_THREADS if it is set, else one for each core that nothing else uses.",
)
QUIET = click.option("--quiet", is_flag=True, help="Show no progress, only the result.")


def of_job(kind: type[FrozenData], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a command's options that are fields of a job."""
    return {name: value for name, value in options.items() if name in kind.model_fields}


def parse_where(pairs: Sequence[str]) -> dict[str, str]:
    """Read ``tag=value`` pairs. Raises ``UserError`` for any other form."""
    where: dict[str, str] = {}
    for pair in pairs:
        tag, equals, value = pair.partition("=")
        if not equals or not tag:
            raise UserError(f"--where {pair}: write --where TAG=VALUE, such as --where source=NQ")
        if tag in where:
            raise UserError(f"--where {pair}: {tag} is given twice")
        where[tag] = value
    return where
