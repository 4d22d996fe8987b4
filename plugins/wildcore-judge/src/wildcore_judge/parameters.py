"""Parameters of the judge and of labels given by people."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, FilePath, ValidationInfo, field_validator

from wildcore import Params
from wildcore_judge.prompt import read_prompt

LOCAL_ONLY = ("device", "dtype", "batch_size")
SERVER_ONLY = (
    "base_url",
    "key_variable",
    "constrain",
    "concurrency",
    "timeout",
    "attempts",
    "first_wait",
    "longest_wait",
    "give_up_after",
    "input_price",
    "output_price",
    "budget",
    "request_budget",
)


HOW_IT_IS_ASKED = frozenset({*SERVER_ONLY, "batch_size"}) - {"base_url", "constrain"}
"""Parameters that do not distinguish judges, because the verdicts are the same."""


class JudgeParams(Params):
    """Parameters of ``judge``. Exactly one of ``model`` and ``local`` must be given."""

    without_effect: ClassVar[frozenset[str]] = HOW_IT_IS_ASKED

    model: str | None = Field(default=None, min_length=1)
    """Name of the model on a server."""

    base_url: str | None = None
    """Address of the server, such as http://localhost:11434/v1. Left out: OpenAI's."""

    key_variable: str | None = "OPENAI_API_KEY"
    """Environment variable with the server's key; null: no key is sent."""

    local: str | None = Field(default=None, min_length=1)
    """Folder or hub name of a model that judges in this process, without a server."""

    device: str = "auto"
    """Device of a local judge: auto, cpu, cuda, cuda:N or mps."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Dtype of a local judge's weights."""

    batch_size: int = Field(default=8, gt=0)
    """Batch size of a local judge."""

    prompt_file: Path | None = None
    """File with your own grading prompt; it must contain {question}, {gold} and {answer}. Left out: the plugin's prompt."""

    prompt_version: str | None = Field(default=None, validate_default=True)
    """Set automatically for a prompt file: its name and a hash of its text. If the file has changed since, it is refused."""

    constrain: bool = True
    """Ask the server to restrict the model's reply to a verdict as JSON. If a server cannot do this, it is asked without."""

    max_tokens: int = Field(default=64, gt=0)
    """Most tokens in a reply. A model that thinks before it replies needs a few thousand."""

    concurrency: int = Field(default=8, gt=0)
    """Most requests in flight at once."""

    timeout: float = Field(default=60.0, gt=0)
    """Seconds to wait for a reply."""

    attempts: int = Field(default=5, gt=0)
    """Most requests for one answer while the server fails."""

    first_wait: float = Field(default=0.5, ge=0)
    """Seconds to wait before the second attempt, doubled for each further attempt. If a server names a waiting time, that is
    used."""

    longest_wait: float = Field(default=120.0, ge=0)
    """Most seconds to wait before an attempt. A server that demands a longer wait is not asked again."""

    give_up_after: int = Field(default=5, gt=0)
    """After this many answers in a row without a reply, each after all attempts, the server is not asked again."""

    input_price: float | None = Field(default=None, ge=0)
    """USD per million tokens of input. No price is built in, since prices change."""

    output_price: float | None = Field(default=None, ge=0)
    """USD per million tokens of output."""

    budget: float | None = Field(default=None, ge=0)
    """USD that one call of wildcore may spend on this judge; needs both prices."""

    request_budget: int | None = Field(default=None, ge=0)
    """Requests that one call of wildcore may send to this judge, including repeated ones."""

    @field_validator("prompt_file")
    @classmethod
    def _can_grade(cls, file: Path | None) -> Path | None:
        if file is not None:
            read_prompt(file)
        return file

    @field_validator("prompt_version")
    @classmethod
    def _as_the_file_is(cls, version: str | None, info: ValidationInfo) -> str | None:
        file = info.data.get("prompt_file")
        current = read_prompt(file).version if file is not None else None
        if version not in (None, current):
            raise ValueError(f"the prompt is {current or 'the built-in one'} now")
        return current


class HumanLabelsParams(Params):
    """Parameters of ``human-labels``."""

    file: FilePath
    """File of labels, .csv or .jsonl, with columns question, gold, answer and label (correct, incorrect, 1, 0, A or B)."""
