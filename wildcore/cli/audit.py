"""``wildcore audit``: finds what in a dataset would spoil a result."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from wildcore.cli.naming import COMMAND_LINE
from wildcore.cli.options import (
    BATCH_SIZE,
    CONTEXT,
    DEVICE,
    DEVICE_MAP,
    DTYPE,
    GENERATOR,
    HARD_LOCALITY,
    LIMIT,
    MERGE_ADAPTER,
    METRICS,
    PROTOCOL_FILES,
    QUIET,
    REVISION,
    SAMPLE,
    SAMPLE_SEED,
    SETTINGS,
    SKIP_MALFORMED,
    TARGET_SEPARATOR,
    THREADS,
    TRUNCATOR,
    TRUST_REMOTE_CODE,
    WHERE,
    of_job,
    parse_where,
    with_options,
)
from wildcore.cli.pages import CoreCommand
from wildcore.cli.startup import torch_loaded
from wildcore.completion import complete_models, complete_offers
from wildcore.datasets.selection import require_one_choice
from wildcore.defaults import WILD
from wildcore.errors import UserError
from wildcore.help_pages import LOOK_UP
from wildcore.jobs.protocol_files import read_protocol
from wildcore.jobs.spec import AuditJob, ModelChoice, parse_settings
from wildcore.json_documents import JsonDocument
from wildcore.registry import Registry
from wildcore.reporting.console import Reporter, results_console, safe_text

if TYPE_CHECKING:
    from wildcore.datasets.checks import Example
    from wildcore.jobs.audit import Audit, Lengths

DOCUMENT = JsonDocument("audit", 1, "wildcore.jobs.audit:Audit")
LONGEST = 130


@click.command(
    "audit",
    cls=CoreCommand,
    section=LOOK_UP,
    short_help="Find what in a dataset would spoil a result.",
    documents=(DOCUMENT,),
)
@click.argument("dataset", shell_complete=complete_offers("dataset"))
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    shell_complete=complete_offers("protocol"),
    help="Protocol whose ceiling to compute; several allowed. [default: wild]",
)
@with_options(PROTOCOL_FILES)
@click.option(
    "--model",
    shell_complete=complete_models,
    help="Embedded model, local folder, or hub name: also test what it knows already.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@with_options(REVISION, DTYPE, DEVICE, DEVICE_MAP, TRUST_REMOTE_CODE, MERGE_ADAPTER)
@with_options(CONTEXT, GENERATOR, TRUNCATOR, METRICS, SETTINGS)
@with_options(WHERE, LIMIT, SAMPLE, SAMPLE_SEED, SKIP_MALFORMED, BATCH_SIZE, HARD_LOCALITY, TARGET_SEPARATOR)
@with_options(THREADS, QUIET)
@click.pass_context
def audit_command(ctx: click.Context, /, **options: Any) -> None:
    """Find what in DATASET would spoil a result.

    This includes targets that a protocol's stop rule cuts short, edits that repeat or contradict each other, missing subjects,
    and residue of markup in texts. Without --model no model is loaded.
    """
    registry: Registry = ctx.obj
    spec = _spec(options)
    registry.add_protocols(spec.own_protocols)
    registry.find("dataset", spec.dataset)
    for protocol in spec.protocols:
        registry.find_protocol(protocol)
    reporter = Reporter(options["quiet"], COMMAND_LINE)
    with torch_loaded(reporter, options["threads"]):
        from wildcore.jobs.audit import Auditor  # heavy: imported only after the names have been checked

    with reporter.track("auditing", None):
        found = Auditor(registry, spec, reporter).audit()
    if options["as_json"]:
        click.echo(DOCUMENT.text(found))
    else:
        print_audit(results_console(), found)


def _spec(options: dict[str, Any]) -> AuditJob:
    require_one_choice(options["limit"], options["sample"])
    settings = parse_settings(options["settings"])
    for key in settings:
        if key.startswith("editor."):
            raise UserError(f"--set {key}: an audit edits nothing; leave it out")
    own = tuple(read_protocol(file) for file in options["protocol_files"])
    named = {
        "model": ModelChoice(**of_job(ModelChoice, options)) if options["model"] else None,
        "protocols": (*options["protocols"], *(protocol.name for protocol in own)) or (WILD,),
        "own_protocols": own,
        "settings": settings,
        "where": parse_where(options["where"]),
    }
    return AuditJob(**(of_job(AuditJob, options) | named))


def print_audit(console: Console, found: "Audit") -> None:
    """Print the findings: faults with their first cases, ceilings, lengths of the targets, probes."""
    console.print()
    console.print(safe_text(f"{found.dataset['name']}: {found.cases} cases, {found.malformed} malformed rows left out"))
    _print_findings(console, found)
    _print_ceilings(console, found)
    _print_answered(console, found)
    _print_lengths(console, found)
    _print_probes(console, found)


def _print_findings(console: Console, found: "Audit") -> None:
    table = Table("found", "cases", "share", "meaning")
    for finding in found.findings:
        table.add_row(finding.name, str(finding.count), _percent(finding.share), finding.meaning)
    console.print(table)
    for finding in found.findings:
        _print_examples(console, finding.name, finding.count, finding.examples)


def _print_ceilings(console: Console, found: "Audit") -> None:
    table = Table("protocol", "metric", title="What a perfect model can score, answering the edit prompts")
    for column in ("ceiling", "unreachable", "unscored"):
        table.add_column(column, justify="right")
    for one in found.ceilings:
        ceiling = "1 by construction" if one.by_construction else "-" if one.ceiling is None else f"{one.ceiling:.3f}"
        table.add_row(safe_text(one.protocol), safe_text(one.metric), ceiling, str(one.unreachable), str(one.unscored))
    console.print(table)
    for one in found.ceilings:
        if one.by_construction:
            console.print(safe_text(f"{one.protocol}: the truncator reads the gold, so it cuts no right answer short"))
        if one.reason:
            console.print(
                safe_text(f"{one.protocol}: {one.unscored} cases unscored by text alone; the first: {one.reason}")
            )
        _print_examples(console, f"unreachable under {one.protocol}", one.unreachable, one.examples)
        what = f"not ended by the full stop of their script under {one.protocol}"
        _print_examples(console, what, one.not_ended, one.not_ended_examples)


def _print_examples(console: Console, name: str, count: int, examples: Iterable["Example"]) -> None:
    listed = list(examples)
    if listed:
        console.print(safe_text(f"{name}, {len(listed)} of {count}:"))
    for example in listed:
        console.print(safe_text(f"  {example.case}: {example.text}", LONGEST))


def _print_answered(console: Console, found: "Audit") -> None:
    if not found.answered:
        return
    table = Table("protocol", "metric", title=f"What {found.model} answers right before any edit")
    for column in ("asked", "right", "share", "unscored"):
        table.add_column(column, justify="right")
    for count in found.answered:
        scored = count.asked - count.unscored
        share = _percent(count.right / scored) if scored else "-"
        row = (str(count.asked), str(count.right), share, str(count.unscored))
        table.add_row(safe_text(count.protocol), safe_text(count.metric), *row)
    console.print(table)


def _print_lengths(console: Console, found: "Audit") -> None:
    table = Table("target length")
    for column in ("shortest", "median", "mean", "longest", "of one"):
        table.add_column(column, justify="right")
    table.add_row("words", *_row(found.words))
    if found.tokens is not None:
        table.add_row("tokens", *_row(found.tokens))
    console.print(table)


def _row(lengths: "Lengths") -> tuple[str, ...]:
    whole = (f"{lengths.shortest}", f"{lengths.median:g}", f"{lengths.mean:.2f}", f"{lengths.longest}")
    return (*whole, _percent(lengths.single))


def _print_probes(console: Console, found: "Audit") -> None:
    table = Table("probe")
    for column in ("probes", "cases", "per case", "with aliases"):
        table.add_column(column, justify="right")
    for one in found.probes:
        per_case = str(one.most) if one.fewest == one.most else f"{one.fewest} to {one.most}"
        table.add_row(one.kind, str(one.probes), str(one.cases), per_case, str(one.with_aliases))
    console.print(table)


def _percent(share: float) -> str:
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"
