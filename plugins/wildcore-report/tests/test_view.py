"""``wildcore view``: real requests to a real server, on runs that are being written meanwhile."""

import gzip
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from socket import create_connection
from typing import Any
from urllib.parse import urlparse

import pytest
from wildcore_report.live import LiveReport
from wildcore_report.payload import CasesIndex, Summary, Version
from wildcore_report.server import HOST, ReportServer

from wildcore.records.lines import line_of

from . import made_runs as made

TOKEN = "made-for-the-test"


class Asked:
    """A server's answer."""

    def __init__(self, response: HTTPResponse) -> None:
        self.status, self.headers, self.content = response.status, response.headers, response.read()

    @property
    def data(self) -> Any:
        """The JSON in the answer."""
        packed = self.headers.get("Content-Encoding") == "gzip"
        return json.loads(gzip.decompress(self.content) if packed else self.content)


def ask(port: int, path: str, method: str = "GET", host: str | None = None, **headers: str) -> Asked:
    connection = HTTPConnection(HOST, port, timeout=20)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", f"{HOST}:{port}" if host is None else host)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        return Asked(connection.getresponse())
    finally:
        connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    record, scores = made.two_protocols("a", 1.0, 0.0)
    made.write_run(tmp_path / "runs" / "done", [record], scores)
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReportServer]:
    record, scores = made.two_protocols("a", 1.0, 0.0)
    run = made.write_run(tmp_path_factory.mktemp("runs") / "done", [record], scores)
    live = LiveReport(run.path)
    live.read()
    with ReportServer(live, 0, TOKEN) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_page_and_its_data_are_served_compressed_or_not(served: ReportServer) -> None:
    port = served.server_port
    page = ask(port, f"/{TOKEN}/")
    assert page.status == 200
    assert b'<meta name="data-source" content="server">' in page.content
    assert b'id="report-summary"' not in page.content
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert f'content="{policy.partition("; frame-ancestors")[0]}"'.replace("'", "&#39;") in page.content.decode()
    for name, expected in (("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
                           ("Cache-Control", "no-store"), ("Cross-Origin-Resource-Policy", "same-origin")):  # fmt: skip
        assert page.headers[name] == expected
    for name in ("summary", "cases-index", "cases-0", "version"):
        plain = ask(port, f"/{TOKEN}/data/{name}.json")
        packed = ask(port, f"/{TOKEN}/data/{name}.json?again", Accept_Encoding="gzip, br")
        assert (plain.status, packed.status) == (200, 200)
        assert packed.headers["Content-Encoding"] == "gzip"
        assert packed.data == plain.data
    Summary.model_validate(ask(port, f"/{TOKEN}/data/summary.json").data)
    assert Version.model_validate(ask(port, f"/{TOKEN}/data/version.json").data).finished


@pytest.mark.parametrize(
    "path",
    ["/", "/index.html", f"/{TOKEN}", f"/{TOKEN[:-1]}/", f"/{TOKEN}x/", f"/{TOKEN}/../done/manifest.json",
     f"/{TOKEN}/%2e%2e/done/manifest.json", f"/{TOKEN}/data/", f"/{TOKEN}/data/cases-7.json", "//"],
)  # fmt: skip
def test_nothing_else_is_there(served: ReportServer, path: str) -> None:
    answer = ask(served.server_port, path)
    assert answer.status == 404
    assert TOKEN.encode() not in answer.content
    assert answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("line", [b"GET /\xe9/ HTTP/1.1", b"GET / HTTP/1.1\r\nHost: evil.example", b"\x16\x03\x01"])
def test_bytes_that_are_no_request_for_it_are_refused(served: ReportServer, line: bytes) -> None:
    with create_connection((HOST, served.server_port), timeout=20) as connection:
        connection.sendall(line + f"\r\nHost: {HOST}:{served.server_port}\r\nConnection: close\r\n\r\n".encode())
        assert re.match(rb"HTTP/1.. 40[034] |.*Error code: 400", connection.recv(4096), re.DOTALL)
    assert ask(served.server_port, f"/{TOKEN}/").status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", f"{HOST}:1", "", HOST])
def test_another_name_for_this_machine_is_refused(served: ReportServer, host: str) -> None:
    assert ask(served.server_port, f"/{TOKEN}/", host=host).status == 403
    assert ask(served.server_port, f"/{TOKEN}/", host=f"localhost:{served.server_port}").status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
def test_only_reading_is_allowed(served: ReportServer, method: str) -> None:
    answer = ask(served.server_port, f"/{TOKEN}/", method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


def test_head_sends_no_content(served: ReportServer) -> None:
    head, full = (ask(served.server_port, f"/{TOKEN}/data/summary.json", method) for method in ("HEAD", "GET"))
    assert head.status == 200
    assert head.content == b""
    assert head.headers["Content-Length"] == str(len(full.content))


def test_only_this_machine_is_listened_to(served: ReportServer) -> None:
    assert served.server_address[0] == "127.0.0.1"
    assert urlparse(served.address).path == f"/{TOKEN}/"


def test_new_cases_and_scores_appear_and_a_torn_line_does_not(folder: Path) -> None:
    first, scores = made.two_protocols("first", 1.0, 1.0)
    second, more = made.two_protocols("second", 1.0, 0.0)
    run = made.write_run(folder / "going", [first], None, cases=2)
    live = LiveReport(folder)
    live.read()
    seen = index_of(live)
    assert (seen.case, seen.status) == (("a", "first"), ("failed", "unscored"))
    assert not version_of(live).finished

    line = line_of(second)
    with run.journal_path.open("a") as journal:
        journal.write(line[: len(line) // 2])
        journal.flush()
        live.read()
        assert index_of(live).case == ("a", "first")
        journal.write(line[len(line) // 2 :])
    before = version_of(live).version
    live.read()
    assert index_of(live).case == ("a", "first", "second")
    assert version_of(live).version != before

    run.write_scores([*scores, *more])
    live.read()
    assert not version_of(live).finished  # another run may begin
    alone = LiveReport(run.path)
    alone.read()
    assert version_of(alone).finished
    assert sorted(zip(index_of(live).case, index_of(live).status, strict=True)) == [
        ("a", "failed"), ("first", "held"), ("second", "failed"),
    ]  # fmt: skip


def test_runs_keep_their_numbers_when_their_order_changes(folder: Path) -> None:
    record, scores = made.two_protocols("b", 1.0, 1.0)
    run = made.write_run(folder / "a-later-one", [record], None, editor="later")
    live = LiveReport(folder)
    numbers = {one.editor: one.id for one in live.read().summary.runs}
    run.write_scores(scores)
    after = live.read().summary.runs
    assert [one.editor for one in after] == ["later", "made"]  # by name, now that both are finished
    assert {one.editor: one.id for one in after} == numbers == {"made": "1", "later": "2"}


def test_damage_and_strange_folders_are_noted(folder: Path) -> None:
    record, scores = made.two_protocols("b", 1.0, 1.0)
    run = made.write_run(folder / "hurt", [record], scores)
    with run.journal_path.open("a") as journal:
        journal.write('{"case": "c"}\n')
    (folder / "odd").mkdir()
    (folder / "odd" / "manifest.json").write_text("{")
    report = LiveReport(folder).read()
    assert [made_of.done for made_of in report.summary.runs] == [1, 1]
    (damage,) = [note for made_of in report.summary.runs for note in made_of.notes if "not read to the end" in note]
    assert "journal.jsonl, line 2" in damage
    assert any(note.startswith("left out") and "odd" in note for note in report.summary.notes)


def test_a_run_is_followed_while_another_process_makes_it(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    wildcore = [sys.executable, "-m", "wildcore"]
    options = ["--editor", "ft-m", "--limit", "6", "--parallel", "1", "--set", "editor.steps=3", "--quiet"]
    making = subprocess.Popen([*wildcore, "eval", *options, "--out", str(runs / "one")], stdout=subprocess.DEVNULL)
    watching = None
    try:
        wait_for(lambda: (runs / "one" / "manifest.json").exists())
        watching = subprocess.Popen(
            [*wildcore, "view", str(runs / "one"), "--no-open", "--quiet"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert watching.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:(\d+)(/[\w-]{20,}/)", watching.stdout.readline())
        assert address
        port, path = int(address[1]), address[2]
        wait_for(lambda: ask(port, f"{path}data/version.json").data["finished"])
        assert making.wait(120) == 0
        summary = Summary.model_validate(ask(port, f"{path}data/summary.json").data)
        assert (summary.runs[0].done, summary.case_count) == (6, 6)
        assert summary.headline[0].startswith("ft-m: Reliability is ")
        watching.send_signal(signal.SIGINT)
        _, said = watching.communicate(timeout=30)
        assert watching.returncode == 130
        assert said.splitlines()[-1] == "Interrupted."
        assert "Traceback" not in said
    finally:
        for process in (making, watching):
            if process is not None:
                process.kill()
                process.wait()


def wait_for(condition: Any) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.2)


def index_of(live: LiveReport) -> CasesIndex:
    return CasesIndex.model_validate_json(gzip.decompress(live.files["data/cases-index.json"]))


def version_of(live: LiveReport) -> Version:
    return Version.model_validate_json(gzip.decompress(live.files["data/version.json"]))
