"""Help pages of commands: options in groups with headings, examples, and commands in sections. Plain text.

A plugin's command has such a page too if it is made with ``HelpfulCommand``::

    @click.command(cls=HelpfulCommand, section=RESULTS, examples=[Example("wildcore mine RUN", "What it shows.")])

An option whose parameter is not in ``GROUPS`` is in the group that the command's ``groups`` name, or else in ``OTHER``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import click

from wildcore.json_documents import JsonDocument

EDIT = "Edit and evaluate"
RESULTS = "Results"
LOOK_UP = "Data, models and plugins"
OF_PLUGINS = "Commands of plugins"
SECTIONS = (EDIT, RESULTS, LOOK_UP, OF_PLUGINS)
"""The sections of commands, in the order in which ``wildcore --help`` shows them."""

MODEL, DATA, EDITING, EVALUATION, OUTPUT = "Model", "Data", "Editing", "Evaluation", "Output"
COMPARISON, PARAMETERS, SPEED = "Comparison", "Parameters", "Memory and speed"
PLUGIN_OPTIONS, OTHER = "Plugin options", "Other options"
ORDER = (MODEL, DATA, EDITING, EVALUATION, COMPARISON, PARAMETERS, SPEED)
LAST = (OUTPUT, OTHER)
"""The groups that are shown first and last, in this order; a command's own groups are between them."""

GROUPS: Mapping[str, Sequence[str]] = {
    MODEL: ("model", "models", "revision", "dtype", "device", "device_map", "trust_remote_code", "merge_adapter"),
    DATA: (
        "dataset", "datasets", "where", "limit", "sample", "sample_seed", "all_cases", "only_failures",
        "skip_malformed", "hard_locality", "target_separator",
    ),
    EDITING: (
        "editor", "editors", "patch", "as_published", "schedule", "edits_per_update", "edit_order", "edit_orders", "seed",
        "stop_when_collapsed", "checkpoint_every", "trace", "merge",
    ),
    EVALUATION: (
        "protocol", "protocols", "protocol_files", "context", "generator", "truncator", "metrics", "added_metrics", "judge_at",
        "measurements", "continuation",
    ),
    COMPARISON: ("baseline", "by"),
    PARAMETERS: ("settings", "pairs"),
    SPEED: ("batch_size", "parallel", "threads"),
    OUTPUT: (
        "destination", "out", "resume", "edits", "form", "as_json", "as_csv", "as_markdown", "as_latex", "track", "trackers",
        "list_edits", "quiet",
    ),
}  # fmt: skip
"""The parameters of options that several commands have, by group."""


class Example(NamedTuple):
    """A command as it is typed, and what it does."""

    command: str
    meaning: str


class GroupedOption(click.Option):
    """An option that names the group in which a command's help shows it."""

    def __init__(self, *args: Any, group: str, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.group = group


class HelpfulCommand(click.Command):
    """A command whose help has options in groups, and examples.

    ``section`` is where the list of commands shows it. ``documents`` are the forms of what it prints with ``--json``. ``groups``
    maps the name of a group to parameters that are not in ``GROUPS``, or belong elsewhere here.
    """

    def __init__(
        self,
        *args: Any,
        section: str = OF_PLUGINS,
        groups: Mapping[str, Sequence[str]] | None = None,
        examples: Sequence[Example] = (),
        documents: Sequence[JsonDocument] = (),
        **attributes: Any,
    ) -> None:
        super().__init__(*args, **attributes)
        self.section, self.examples, self.documents = section, tuple(examples), tuple(documents)
        self.group_of = {name: group for of in (GROUPS, groups or {}) for group, names in of.items() for name in names}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each group under its heading."""
        for group, records in self._by_group(ctx):
            with formatter.section(group):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, each above what it does."""
        super().format_epilog(ctx, formatter)
        examples = self.examples_of(ctx)
        if examples:
            formatter.write("\nExamples:\n")
        for example in examples:
            formatter.write(f"  {example.command}\n")
            with formatter.indentation(), formatter.indentation(), formatter.indentation():
                formatter.write_text(example.meaning)

    def examples_of(self, ctx: click.Context) -> Sequence[Example]:
        """Return the examples to show."""
        return self.examples

    def _by_group(self, ctx: click.Context) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        found: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and record[1]:  # an argument has a record, too, which may be without help
                group = getattr(parameter, "group", None) or self.group_of.get(str(parameter.name), OTHER)
                found.setdefault(group, []).append(record)
        own = [group for group in found if group not in (*ORDER, *LAST)]
        for group in (*ORDER, *own, *LAST):
            if group in found:
                yield group, found[group]


class HelpfulGroup(HelpfulCommand, click.Group):
    """A group of commands whose help has sections of commands, options in groups, and examples."""

    command_class = HelpfulCommand

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, then the options."""
        self.format_commands(ctx, formatter)
        super().format_options(ctx, formatter)
