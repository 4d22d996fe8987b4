"""The server's key: read from the environment, sent to the server, and kept out of everything else."""

import json
import os
from dataclasses import dataclass, field
from urllib.parse import quote

from wildcore import Setting, UserError

SHORTEST_SECRET = 8
"""A shorter key is a placeholder word for a local server; hiding it would make messages unreadable."""


@dataclass(frozen=True)
class Key:
    """A key, or the placeholder for servers without keys."""

    value: str = field(default="none", repr=False)
    source: str = "no key"

    def scrub(self, text: str) -> str:
        """Return ``text`` without the key, in any form in which a message may quote it."""
        if len(self.value) < SHORTEST_SECRET:
            return text
        for form in (self.value, json.dumps(self.value)[1:-1], repr(self.value)[1:-1], quote(self.value, safe="")):
            text = text.replace(form, "[key]")
        return text


def read_key(variable: str | None, needed: bool) -> Key:
    """Read the key from an environment variable. Raises ``UserError`` if one is needed and missing, or cannot be sent."""
    value = os.environ.get(variable, "").strip() if variable else ""
    if not value:
        if needed:
            place = f"the environment variable {variable}" if variable else "metric.judge.key_variable=null"
            raise UserError(
                f"OpenAI's server needs a key, and there is none in {place}",
                "metric judge",
                (
                    "set it, or name another variable with ",
                    Setting("metric.judge.key_variable", "NAME"),
                    " or another server with ",
                    Setting("metric.judge.base_url", "URL"),
                ),
            )
        return Key()
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise UserError(
            "its value is no key: it holds characters that cannot be sent", about=f"environment variable {variable}"
        )
    return Key(value, f"the key in {variable}")
