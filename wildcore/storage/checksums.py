"""Checksums of JSON objects that are kept as text: the last field of the object, made from every byte before it.

Texts of earlier versions have no checksum. They are read as they are.
"""

import hashlib
import re

NAME = "checksum"
LENGTH = 16
SPACE = rb"[ \t\r\n]*"
"""White space of JSON, which is not all that ``\\s`` means."""
SEAL = re.compile(
    rb',%(s)b"%(n)b":%(s)b"([0-9a-f]{%(l)d})"%(s)b}%(s)b\Z' % {b"s": SPACE, b"n": NAME.encode(), b"l": LENGTH}
)
LONGEST_SEAL = 100
"""In bytes; a checksum is searched in the last bytes only."""


def checksum(*parts: bytes) -> str:
    """Return a hash of ``parts``, which depends on where one part ends and the next begins."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.hexdigest()[:LENGTH]


def sealed(text: str) -> str:
    """Return the JSON object ``text``, which has a field, with a checksum as its last field, in the same layout."""
    content = text.rstrip().removesuffix("}").rstrip()
    seal = checksum(content.encode())
    return f'{content},\n  "{NAME}": "{seal}"\n}}\n' if "\n" in content else f'{content},"{NAME}":"{seal}"}}'


def unsealed(text: bytes) -> bytes:
    """Return a JSON object without its checksum. Raises ``ValueError`` if the content is not what was saved."""
    found = SEAL.search(text, max(0, len(text) - LONGEST_SEAL))
    if found is None:
        return text
    content = text[: found.start()].rstrip()
    if checksum(content).encode() != found[1]:
        raise ValueError("its content is not what was saved")
    return content + b"}"
