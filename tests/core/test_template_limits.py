"""Chat templates that were written to do harm: each ends in one message, in bounded time and memory."""

import resource
import time
from datetime import datetime

import pytest
from jinja2 import TemplateError

from wildcore import UserError
from wildcore.models import render_chat, template_limits
from wildcore.testing.networks import tiny_model
from wildcore.testing.tokenizers import byte_level_tokenizer

MESSAGES = [{"role": "user", "content": "Where is Rome?"}]
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}"
DOUBLING = "{% set s = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set s.x = s.x ~ s.x %}{% endfor %}{{ s.x }}"
SQUARES = "{% set s = namespace(x=9) %}{% for i in range(60) %}{% set s.x = s.x * s.x %}{% endfor %}"


def rendered(template: str) -> str:
    tokenizer = byte_level_tokenizer()
    tokenizer.chat_template = template
    model = tiny_model("llama", tokenizer=tokenizer)
    model.clock = datetime(2026, 1, 1)
    return render_chat(model, MESSAGES)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_limits, "SECONDS", 0.3)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (ENDLESS, "takes longer than 0.3 s"),
        (SQUARES, "takes longer than 0.3 s"),
        (DOUBLING, "takes (more|longer) than"),
        ("{{ 'a' * 10000000000 }}", "takes more than 512 MiB of memory"),
        ("{{ '%09999999999d' % 1 }}", "takes more than 512 MiB of memory"),
        ("{{ 'a'.center(10000000000) }}", "takes more than 512 MiB of memory"),
        ("{{ 9 ** 9 ** 9 ** 9 }}", r"computes powers \(\*\*\)"),
        ("{% for m in messages %}{{ m.content * 100000 }}{% endfor %}", "writes more than 1,000,000 characters"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "cannot be rendered \\(RecursionError"),
        ("{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}", "cannot be rendered \\(RecursionError"),
        ("{{ 1 / 0 }}", "cannot be rendered \\(ZeroDivisionError"),
        ("a" * 1_000_001, "has more than 1,000,000 characters"),
    ],
)
def test_a_template_that_does_harm(template: str, said: str) -> None:
    begun, limits = time.monotonic(), resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(UserError, match=f"the chat template of tiny-llama ({said})") as refused:
        rendered(template)
    assert time.monotonic() - begun < 20
    assert "\n" not in str(refused.value)
    assert resource.getrlimit(resource.RLIMIT_AS) == limits


def test_what_the_sandbox_refuses_and_what_a_template_refuses_stay_refusals_of_the_template() -> None:
    for template in ("{{ ''.__class__.__mro__ }}", "{{ raise_exception('no such role') }}"):
        with pytest.raises(TemplateError):
            rendered(template)


def test_templates_within_the_limits_are_rendered() -> None:
    named = "{% macro say(text='') %}**{{ text }}**{% endmacro %}{{ say(**{'text': messages[0].content}) }}"
    assert rendered(named) == "**Where is Rome?**"
