"""Parameters of the measurement ``lm-eval``."""

from typing import Any

from pydantic import Field, field_validator

from wildcore import Params


class LmEvalParams(Params):
    """Parameters of ``lm-eval``."""

    tasks: tuple[str, ...] = Field(min_length=1)
    """Tasks, groups or tags of lm-evaluation-harness by name, or YAML files of tasks; one text with commas names several."""

    limit: int | None = Field(default=None, gt=0)
    """Number of documents of each task, the first ones. Left out: all."""

    num_fewshot: int | None = Field(default=None, ge=0)
    """Number of examples before each question. Left out: the task's own number. A task whose own number is 0 keeps it, as in
    the harness."""

    seed: int = Field(default=1234, ge=0)
    """Seed of the draw of examples before a question. The default is the harness's."""

    max_length: int | None = Field(default=None, gt=1)
    """Most tokens that the model reads at once; what is longer is cut on the left. Left out: the model's context."""

    max_gen_toks: int = Field(default=256, gt=0)
    """Most tokens of a generated answer, if the task does not set it. The default is the harness's."""

    bootstrap_iters: int = Field(default=1000, ge=0)
    """Number of resamples for standard errors that have no formula, such as that of a perplexity."""

    confirm_run_unsafe_code: bool = False
    """Run tasks that the harness marks as unsafe because they execute code that the model writes, and metrics whose code is
    fetched from the hub."""

    @field_validator("tasks", mode="before")
    @classmethod
    def _separated_by_commas(cls, value: Any) -> Any:
        names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
        return [name for name in names if name] if isinstance(names, list) else names

    @field_validator("tasks")
    @classmethod
    def _each_once(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(tasks)) < len(tasks):
            raise ValueError("name each task once")
        return tasks
