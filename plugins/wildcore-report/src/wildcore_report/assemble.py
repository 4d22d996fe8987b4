"""One page from its parts: template, style, script and data, with a content security policy that allows nothing else."""

import base64
import hashlib
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Literal

Pair = tuple[str, str]
"""The id of an element with data, and its content."""

SERVER: Literal["server"] = "server"

SCRIPTS = (
    "elements",
    "texts",
    "differences",
    "data",
    "figures",
    "results",
    "address",
    "filters",
    "table",
    "controls",
    "answers",
    "case",
    "opening",
    "start",
)
"""The files of the page's script, in the order in which they run. They share one scope, so that the page needs no bundler."""


def page(
    title: str, summary: str = "", blocks: Iterable[Pair] = (), source: Literal["", "server"] = ""
) -> Iterator[str]:
    """Yield the parts of the page: with the ``summary`` and ``blocks`` in it, or, if ``source`` is "server", without data, which
    the page then fetches from the address that it came from.

    ``summary`` is JSON that is safe inside an element (``in_script``), the content of blocks is base64.
    """
    from jinja2 import Environment, StrictUndefined

    style, script = page_file("page.css"), page_script()
    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    template = environment.from_string(page_file("page.html"))
    yield from template.generate(
        title=title,
        policy=policy(style, script, source),
        style=style,
        script=script,
        source=source,
        summary=summary,
        blocks=blocks,
    )


def policy(style: str, script: str, source: Literal["", "server"] = "") -> str:
    """Return the content security policy: one style and one script, known by their hashes, pictures in the page, and data from
    the page's own server if it has one. No text can become markup or code: the page makes no trusted type.
    """
    allowed = {
        "default-src": "'none'",
        "script-src": hash_of(script),
        "style-src": hash_of(style),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
        **({"connect-src": "'self'"} if source else {}),
    }
    return "; ".join(f"{name} {value}" for name, value in allowed.items())


def hash_of(text: str) -> str:
    """Return the source expression of an inline element with this text. Line ends are those that a browser sees."""
    seen = text.replace("\r\n", "\n").replace("\r", "\n")
    return f"'sha256-{base64.b64encode(hashlib.sha256(seen.encode()).digest()).decode()}'"


def page_script() -> str:
    """Return the page's script: its files in one block, whose names nothing else in the page sees."""
    return "\n".join(['"use strict";', "{", *(page_file(f"script/{name}.js") for name in SCRIPTS), "}"])


def page_file(name: str) -> str:
    """Return a file of the page. Raises ``ValueError`` for text that would end the element that holds it."""
    text = files("wildcore_report").joinpath("page", *name.split("/")).read_text(encoding="utf-8")
    for suffix, end in ((".css", "</style"), (".js", "</script"), (".js", "<!--")):
        if name.endswith(suffix) and end in text.lower():
            raise ValueError(f"{name} contains {end}, which ends its element")
    return text
