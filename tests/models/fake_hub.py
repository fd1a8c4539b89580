"""A Hugging Face hub on this machine: as much of its HTTP interface as huggingface_hub and datasets ask for.

It serves folders; nothing is cached, so a test may add or take away files while it runs.
"""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Repo:
    """A folder under a repository's name. `refusal` is an HTTP status and X-Error-Code given instead of its files."""

    folder: Path
    refusal: tuple[int, str] | None = None
    cut_off: bool = False  # the connection ends in the middle of each large file

    @property
    def files(self) -> dict[str, Path]:
        found = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path for path in found}

    @property
    def sha(self) -> str:
        """A commit hash that follows the content, as git's does."""
        digest = hashlib.sha1(usedforsecurity=False)
        for name, path in self.files.items():
            digest.update(f"{name} {path.stat().st_size}".encode() + path.read_bytes())
        return digest.hexdigest()


class FakeHub:
    """`with FakeHub({"models/owner/name": Repo(folder)}) as hub:` answers at hub.url, and remembers who asked what."""

    def __init__(self, repos: dict[str, Repo]) -> None:
        self.repos = repos
        self.requests: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        setattr(self._server, "hub", self)  # noqa: B010  # not declared there
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Refuse connections from here on. May be called again."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._route()

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        sent = json.loads(body) if "json" in self.headers.get("Content-Type", "") else parse_qs(body)
        self._route(sent)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""

    def _route(self, sent: dict[str, Any] | None = None) -> None:
        hub: FakeHub = getattr(self.server, "hub")  # noqa: B009
        url = urlsplit(self.path)
        hub.requests.append(f"{self.command} {url.path}")
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        match parts:
            case [""]:
                self._json({})
            case ["api", kind, owner, name, *rest]:
                repo = hub.repos.get(f"{kind}/{owner}/{name}")
                self._api(f"{owner}/{name}", repo, rest, url.query, sent)
            case ["datasets", owner, name, "resolve", _, *path]:
                self._file(hub.repos.get(f"datasets/{owner}/{name}"), "/".join(path))
            case [owner, name, "resolve", _, *path]:
                self._file(hub.repos.get(f"models/{owner}/{name}"), "/".join(path))
            case _:
                self._refuse(404, "")

    def _api(self, name: str, repo: Repo | None, rest: list[str], query: str, sent: dict[str, Any] | None) -> None:
        if repo is None:
            self._refuse(404, "RepoNotFound")
        elif repo.refusal is not None and repo.refusal[1] != "GatedRepo":
            self._refuse(*repo.refusal)  # what is gated may still be looked at
        elif not rest or rest[0] == "revision":
            siblings = [{"rfilename": path} for path in repo.files]
            self._json({"id": name, "sha": repo.sha, "siblings": siblings, "private": False, "tags": []})
        elif rest[0] == "tree":
            recursive = parse_qs(query).get("recursive", [""])[0].lower() in {"true", "1"}
            self._tree(repo, "/".join(rest[2:]), recursive=recursive)
        elif rest[0] == "paths-info" and sent is not None:
            entries = [entry for path in sent.get("paths", []) for entry in _entries(repo, path)]
            self._json(entries)
        else:
            self._refuse(404, "")

    def _tree(self, repo: Repo, folder: str, *, recursive: bool) -> None:
        prefix = folder + "/" if folder else ""
        inside = [path for path in repo.files if path.startswith(prefix)]
        if not inside:
            self._refuse(404, "EntryNotFound")
            return
        files = [path for path in inside if recursive or "/" not in path[len(prefix) :]]
        folders = {prefix + path[len(prefix) :].split("/")[0] for path in inside if "/" in path[len(prefix) :]}
        self._json([entry for path in [*sorted(folders), *files] for entry in _entries(repo, path)])

    def _file(self, repo: Repo | None, path: str) -> None:
        if repo is None:
            self._refuse(404, "RepoNotFound")
        elif repo.refusal is not None:
            self._refuse(*repo.refusal)
        elif path not in repo.files:
            self._refuse(404, "EntryNotFound", repo.sha)
        else:
            content = repo.files[path].read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            headers = {"ETag": etag, "X-Repo-Commit": repo.sha, "Content-Type": "application/octet-stream"}
            self._send(200, headers, content, cut_off=repo.cut_off and len(content) > 10_000)

    def _json(self, value: object) -> None:
        self._send(200, {"Content-Type": "application/json"}, json.dumps(value).encode())

    def _refuse(self, status: int, code: str, commit: str | None = None) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": code} if code else {}
        self._send(status, {**headers, **({"X-Repo-Commit": commit} if commit else {})}, b"{}")

    def _send(self, status: int, headers: dict[str, str], body: bytes, *, cut_off: bool = False) -> None:
        with suppress(ConnectionError):
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[: len(body) // 2] if cut_off else body)
        self.close_connection = self.close_connection or cut_off


def _entries(repo: Repo, path: str) -> list[dict[str, Any]]:
    """What the tree says about one path: a file, a folder, or nothing."""
    path = path.strip("/")
    if path in repo.files:
        content = repo.files[path].read_bytes()
        oid = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        return [{"type": "file", "path": path, "size": len(content), "oid": oid}]
    if any(name.startswith(path + "/") for name in repo.files):
        return [{"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest()}]
    return []
