"""An HTTP client that receives no more of a reply than is needed, and follows a server nowhere else."""

import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from openai import DefaultAsyncHttpxClient

MOST_BYTES = 2**20
"""Most bytes of a reply, apart from those that its tokens need."""
BYTES_PER_TOKEN = 64
"""More than a token of a reply needs, even if a server escapes each character and sends the thoughts twice."""
KEPT_HEADERS = ("retry-after", "location")
WINDOW_OF_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
"""The argument of zlib that recognises both formats."""


class NotReceived(Exception):
    """A reply is too long, or is compressed in a way that cannot be undone."""


class LimitedClient(DefaultAsyncHttpxClient):
    """Receives replies up to a size, compressed or not, and follows no redirect.

    The bodies of errors are cut there; other replies that are longer raise ``NotReceived``. A response has only the headers
    that are used here, each changed by ``clean``, since the client may be told to log them.
    """

    def __init__(self, most_tokens: int, clean: Callable[[str], str]) -> None:
        super().__init__(follow_redirects=False, timeout=None, headers={"Accept-Encoding": "identity"})
        self.clean = clean
        self.most_bytes = MOST_BYTES + BYTES_PER_TOKEN * most_tokens

    async def send(self, request: Any, *, stream: bool = False, **how: Any) -> Any:
        """Send a request, and return its response with the whole body."""
        response = await super().send(request, stream=True, **how)
        try:
            encoding = response.headers.get("content-encoding", "identity").strip().lower()
            body = await received(response.aiter_raw(), encoding, self.most_bytes)
        finally:
            await response.aclose()
        if len(body) > self.most_bytes and response.is_success:
            raise NotReceived(f"longer than {self.most_bytes:,} bytes")
        headers = {name: self.clean(response.headers[name]) for name in KEPT_HEADERS if name in response.headers}
        content = body[: self.most_bytes]
        return type(response)(response.status_code, headers=headers, content=content, request=request)


async def received(chunks: AsyncIterator[bytes], encoding: str, most_bytes: int) -> bytes:
    """Return a body, or a little more than ``most_bytes`` of it. Raises ``NotReceived`` if it cannot be decompressed."""
    if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise NotReceived(f"compressed as {encoding[:20]!r}")
    packed = zlib.decompressobj(WINDOW_OF_GZIP_OR_ZLIB) if "gzip" in encoding or encoding == "deflate" else None
    body = bytearray()
    async for chunk in chunks:
        try:
            body += packed.decompress(chunk, most_bytes + 1 - len(body)) if packed else chunk
        except zlib.error:
            raise NotReceived(f"not compressed as {encoding!r}, as it claims to be") from None
        if len(body) > most_bytes:
            break
    return bytes(body)
