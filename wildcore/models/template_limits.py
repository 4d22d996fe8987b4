"""Limits for chat templates, which are programs of a stranger: their text, their time, their memory, and what they write.

transformers runs them in jinja's sandbox, which keeps them from files and from Python, but not from endless loops.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jinja2 import TemplateError
from jinja2.lexer import get_lexer
from jinja2.sandbox import ImmutableSandboxedEnvironment

from wildcore.errors import UserError, in_one_line
from wildcore.guarded import Stopped, time_limited

SECONDS = 10.0
MEGABYTES = 512
"""Most memory that rendering may take beyond what the process has."""
CHARACTERS = 1_000_000
"""Most characters of a template, and of a conversation in it."""


def rendered_within_limits(render: Callable[[], str], template: str, who: str) -> str:
    """Return the result of ``render``, which renders ``template``; ``who`` names it in messages.

    Raises ``UserError`` if it takes too much time or memory, fails other than by refusing the messages, or writes too much, and
    ``jinja2.TemplateError`` if it refuses the messages. Time is limited in the main thread only, memory on Linux only.
    """
    problem = _problem_of(template)
    if problem is None:
        try:
            with time_limited(SECONDS, f"takes longer than {SECONDS:g} s"), _memory_limited(MEGABYTES):
                text = render()
            if len(text) <= CHARACTERS:
                return text
            problem = f"writes more than {CHARACTERS:,} characters"
        except (TemplateError, UserError):
            raise
        except Stopped as error:
            problem = str(error)
        except MemoryError:
            problem = f"takes more than {MEGABYTES} MiB of memory"
        except Exception as error:  # what the program raises
            problem = f"cannot be rendered ({in_one_line(f'{type(error).__name__}: {error}')})"
    raise UserError(f"{who} {problem}", way_out="take the tokenizer of the model's authors")


def _problem_of(template: str) -> str | None:
    """Return why a template is not even compiled, which already computes what is constant in it."""
    if len(template) > CHARACTERS:
        return f"has more than {CHARACTERS:,} characters"
    if any(_powers(template)):
        return "computes powers (**), which may take any time"
    return None


def _powers(template: str) -> Iterator[str]:
    """Yield the operators ``**`` in a template, except those before the named arguments of a call."""
    before = ""
    with suppress(TemplateError):  # the compiler reports what is wrong with the text
        for _, kind, text in get_lexer(ImmutableSandboxedEnvironment()).tokeniter(template, None):
            if kind in ("whitespace", "comment"):
                continue
            if kind == "operator" and text == "**" and before not in ("(", ","):
                yield text
            before = text


@contextmanager
def _memory_limited(megabytes: int) -> Iterator[None]:
    """Let the process take at most ``megabytes`` more in this context; beyond that, Python raises ``MemoryError``."""
    sizes = Path("/proc/self/statm")
    if not sizes.is_file():
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(re.split(r"\s", sizes.read_text())[0]) * resource.getpagesize()
    most = used + megabytes * 2**20
    bounded = soft if soft != resource.RLIM_INFINITY and soft < most else most
    resource.setrlimit(resource.RLIMIT_AS, (bounded, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
