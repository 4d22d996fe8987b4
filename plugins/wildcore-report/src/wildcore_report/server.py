"""Serves a live report on this machine alone: read only, at an address that nobody can guess."""

import gzip
import hmac
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from wildcore import Option, UserError
from wildcore_report.assemble import SERVER, page_file, page_script, policy
from wildcore_report.live import LiveReport

HOST = "127.0.0.1"
SECONDS_OF_SILENCE = 30
"""A connection on which nothing arrives for this long is closed."""
VERSION_FILE = "data/version.json"


class ReportServer(ThreadingHTTPServer):
    """The server of one report. Port 0: any that is free. Raises ``UserError`` if the port cannot be used."""

    daemon_threads = True
    allow_reuse_address = False

    def __init__(self, report: LiveReport, port: int, token: str) -> None:
        self.report, self.token = report, token
        self.policy = f"{policy(page_file('page.css'), page_script(), SERVER)}; frame-ancestors 'none'"
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            raise UserError(
                f"cannot be used ({error.strerror or error})",
                Option("port", port),
                "choose another, or 0 for a free one",
            ) from error

    @property
    def address(self) -> str:
        """The address of the page, with the token."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that a browser closed early."""


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for the files of the report, below the token; nothing else is known."""

    server: ReportServer
    protocol_version = "HTTP/1.1"
    server_version = "wildcore"
    sys_version = ""
    timeout = SECONDS_OF_SILENCE

    def do_GET(self) -> None:
        """Send a file."""
        self._answer(with_content=True)

    def do_HEAD(self) -> None:
        """Send what is known about a file."""
        self._answer(with_content=False)

    def _refuse(self) -> None:
        self.close_connection = True  # the body of the request is not read
        self._fail(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET, HEAD"})

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_CONNECT = do_TRACE = _refuse

    def _answer(self, with_content: bool) -> None:
        if not self._is_for_us():
            return self._fail(HTTPStatus.FORBIDDEN)
        path = self.path.partition("?")[0]
        token, slash, name = path.removeprefix("/").partition("/")
        if not hmac.compare_digest(token.encode(), self.server.token.encode()) or not slash:
            return self._fail(HTTPStatus.NOT_FOUND)
        if name == VERSION_FILE:
            self.server.report.refresh()
        content = self.server.report.files.get(name)
        if content is None:
            return self._fail(HTTPStatus.NOT_FOUND)
        compressed = "gzip" in self.headers.get("Accept-Encoding", "")
        headers = {
            "Content-Type": "application/json" if name else "text/html; charset=utf-8",
            "Vary": "Accept-Encoding",
        }
        if compressed:
            headers["Content-Encoding"] = "gzip"
        else:
            content = gzip.decompress(content)
        return self._send(HTTPStatus.OK, headers, content, with_content)

    def _is_for_us(self) -> bool:
        """Return whether the request names this server. That of a page whose site's name was made to resolve to this machine does
        not.
        """
        names = (f"{HOST}:{self.server.server_port}", f"localhost:{self.server.server_port}")
        hosts = self.headers.get_all("Host", [])
        return len(hosts) == 1 and hosts[0].lower() in names

    def _fail(self, status: HTTPStatus, headers: dict[str, str] | None = None) -> None:
        text = f"{status.value} {status.phrase}\n".encode()
        self._send(status, {"Content-Type": "text/plain", **(headers or {})}, text, self.command != "HEAD")

    def _send(self, status: HTTPStatus, headers: dict[str, str], content: bytes, with_content: bool) -> None:
        self.send_response(status)
        every = {
            **headers,
            "Content-Length": str(len(content)),
            "Content-Security-Policy": self.server.policy,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
        }
        for name, value in every.items():
            self.send_header(name, value)
        self.end_headers()
        if with_content:
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Write no log: it would hold the token."""
