"""A stand-in for the Hugging Face hub: the part of its interface by which a data set is created and a commit is sent."""

import json
from base64 import b64decode
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

LARGE = 2_000
"""Files of more bytes are sent apart from the commit, as the hub asks for of large files."""


@dataclass
class Hub:
    """What the hub knows: repositories with their visibility, files, and every request that it received."""

    token: str
    private: dict[str, bool] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)
    commits: list[str] = field(default_factory=list)
    address: str = ""

    def __enter__(self) -> "Hub":
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, body: bytes, authorization: str | None) -> tuple[int, Any]:
        """Return the status and the JSON of the answer to a request."""
        if path.startswith("/objects/"):  # an address that the hub itself gave out
            self.objects[path.removeprefix("/objects/")] = body
            return 200, {}
        if authorization != f"Bearer {self.token}":
            return 401, {"error": "Invalid username or password."}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path == "/api/repos/create":
            return self._created(json.loads(body))
        kind, _, rest = path.removeprefix("/").removeprefix("api/").partition("/")
        if kind != "datasets":
            return 404, {"error": "not here"}
        return self._of_dataset(method, rest, body)

    def _created(self, asked: dict[str, Any]) -> tuple[int, Any]:
        name = f"{asked['organization']}/{asked['name']}"
        found = {"url": f"{self.address}/datasets/{name}", "name": name}
        if name in self.private:
            return 409, found | {"error": "You already created this dataset repo"}
        self.private[name] = asked.get("visibility") == "private" or asked.get("private") is True
        return 200, found

    def _of_dataset(self, method: str, rest: str, body: bytes) -> tuple[int, Any]:
        owner, name, *way = rest.removesuffix("/info/lfs/objects/batch").split("/")
        repository = f"{owner}/{name.removesuffix('.git')}"
        if rest.endswith("/info/lfs/objects/batch"):
            return 200, {"transfer": "basic", "objects": [self._place_of(one) for one in json.loads(body)["objects"]]}
        if repository not in self.private:
            return 404, {"error": "Repository not found"}
        if way[:1] == ["preupload"]:
            files = json.loads(body)["files"]
            return 200, {"files": [self._mode_of(one) for one in files]}
        if way[:1] == ["commit"]:
            return self._committed(repository, body)
        return 200, {"id": repository, "private": self.private[repository], "sha": "0" * 40, "siblings": []}

    def _place_of(self, asked: dict[str, Any]) -> dict[str, Any]:
        upload = {"href": f"{self.address}/objects/{asked['oid']}", "header": {}}
        return {"oid": asked["oid"], "size": asked["size"], "actions": {"upload": upload}}

    def _mode_of(self, file: dict[str, Any]) -> dict[str, Any]:
        mode = "lfs" if file["size"] > LARGE and not file["path"].endswith(".md") else "regular"
        return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}

    def _committed(self, repository: str, body: bytes) -> tuple[int, Any]:
        files = self.files.setdefault(repository, {})
        for line in body.splitlines():
            said = json.loads(line)
            value = said["value"]
            if said["key"] == "header":
                self.commits.append(value["summary"])
            elif said["key"] == "file":
                files[value["path"]] = b64decode(value["content"])
            elif said["key"] == "lfsFile":
                content = self.objects[value["oid"]]
                assert sha256(content).hexdigest() == value["oid"]
                files[value["path"]] = content
        url = f"{self.address}/datasets/{repository}/commit/{'1' * 40}"
        return 200, {"commitUrl": url, "commitOid": "1" * 40, "pullRequestUrl": None}


def _handler_of(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            hub.requests.append((self.command, path, body))
            status, found = hub.answer(self.command, path, body, self.headers.get("Authorization"))
            content = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_HEAD = _serve

        def log_message(self, *_: object) -> None:
            return None

    return Handler
