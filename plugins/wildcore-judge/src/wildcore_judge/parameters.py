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
"""What does not tell one judge from another: its verdicts are the same."""


class JudgeParams(Params):
    """Parameters of ``judge``. Either ``model`` or ``local`` is needed."""

    without_effect: ClassVar[frozenset[str]] = HOW_IT_IS_ASKED

    model: str | None = Field(default=None, min_length=1)
    """Model that a server is asked for."""

    base_url: str | None = None
    """Address of the server, such as http://localhost:11434/v1. Left out: OpenAI's."""

    key_variable: str | None = "OPENAI_API_KEY"
    """Environment variable that holds the server's key; null: no key is sent."""

    local: str | None = Field(default=None, min_length=1)
    """Folder or hub name of a model that judges in this process, without a server."""

    device: str = "auto"
    """Device of a local judge: auto, cpu, cuda, cuda:N or mps."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of a local judge's weights."""

    batch_size: int = Field(default=8, gt=0)
    """Answers that a local judge reads at once."""

    prompt_file: Path | None = None
    """Grading prompt of your own, with {question}, {gold} and {answer} in it. Left out: the plugin's."""

    prompt_version: str | None = Field(default=None, validate_default=True)
    """Filled in for a prompt file: its name and a hash of its text. A file that has changed since is refused."""

    constrain: bool = True
    """Ask the server to let the model say nothing but a verdict as JSON; a server that cannot is asked without."""

    max_tokens: int = Field(default=64, gt=0)
    """Most tokens of a reply. A model that thinks before it replies needs some thousand."""

    concurrency: int = Field(default=8, gt=0)
    """Most requests under way at once."""

    timeout: float = Field(default=60.0, gt=0)
    """Seconds to wait for a reply."""

    attempts: int = Field(default=5, gt=0)
    """Most requests for one answer while the server fails."""

    first_wait: float = Field(default=0.5, ge=0)
    """Seconds to wait before the second attempt; doubled for each further one. A server that says how long is obeyed."""

    longest_wait: float = Field(default=120.0, ge=0)
    """Most seconds to wait before an attempt. A server that asks for more is asked no further."""

    give_up_after: int = Field(default=5, gt=0)
    """Answers in a row without a reply, each after all attempts, after which the server is asked no further."""

    input_price: float | None = Field(default=None, ge=0)
    """USD for a million tokens of input. None is built in, since prices change."""

    output_price: float | None = Field(default=None, ge=0)
    """USD for a million tokens of output."""

    budget: float | None = Field(default=None, ge=0)
    """USD that one call of wildcore may spend on this judge; needs both prices."""

    request_budget: int | None = Field(default=None, ge=0)
    """Requests that one call of wildcore may send to this judge, repeated ones too."""

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
