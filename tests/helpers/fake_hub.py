"""A Hugging Face Hub in memory, so that uploads and downloads are tested over HTTP without a network.

    with FakeHub() as hub:
        subprocess.run([sys.executable, "script.py"], env=hub_environment(hub, tmp_path), check=True)
        assert "README.md" in hub.repos["models/user/name"].files
        assert hub.unknown == []

`huggingface_hub` reads its settings when it is imported, hence the subprocess.
`python tests/helpers/fake_hub.py 8765` serves
one until it is interrupted.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit


USER = "user"
LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".npz", ".arrow", ".parquet", ".onnx")

API_REPO = r"/api/(?P<type>models|datasets|spaces)/(?P<id>[^/]+/[^/]+)"  # how the API names a repository
WEB_REPO = r"/(?:(?P<type>datasets|spaces)/)?(?P<id>[^/]+/[^/]+)"  # how a browser does: models have no prefix

Files = dict[str, bytes]


class HubError(Exception):
    """A refusal that the client turns into an exception of its own, told by `code` (such as RepoNotFound)."""

    def __init__(self, status: int, code: str, headers: dict[str, str] | None = None):
        super().__init__(code)
        self.status, self.code, self.headers = status, code, headers or {}


@dataclass
class Commit:
    """A commit and every file as it was then."""

    sha: str
    message: str
    files: Files


class Repo:
    """The files of a repository at each commit of its branches."""

    def __init__(self, private: bool = False):
        self.private = private
        self.branches: dict[str, list[Commit]] = {"main": []}
        self.commit({}, "initial commit")

    @property
    def history(self) -> list[Commit]:
        """The commits of the main branch."""
        return self.branches["main"]

    @property
    def files(self) -> Files:
        """The files as they are now, on the main branch."""
        return self.history[-1].files if self.history else {}

    def commit(self, changes: dict[str, bytes | None], message: str, branch: str = "main") -> Commit:
        """Adds a commit; a file whose new content is None is deleted."""
        if branch not in self.branches:
            raise HubError(404, "RevisionNotFound")
        history = self.branches[branch]
        before = history[-1].files if history else {}
        files = {path: data for path, data in {**before, **changes}.items() if data is not None}
        state = (branch, len(history), message, sorted(files))
        history.append(Commit(hashlib.sha1(repr(state).encode()).hexdigest(), message, files))
        return history[-1]

    def at(self, revision: str) -> Commit:
        """The commit that a branch or a commit hash names."""
        revision = "main" if revision == "HEAD" else revision
        if revision in self.branches:
            return self.branches[revision][-1]
        for commit in itertools.chain.from_iterable(self.branches.values()):
            if commit.sha == revision:
                return commit
        raise HubError(404, "RevisionNotFound")


@dataclass
class Failure:
    """The answer to the next `times` requests whose path contains `path`."""

    times: int
    status: int
    path: str


@dataclass
class Request:
    """What a route needs of a request; `path` holds the named groups of the route's pattern."""

    path: dict[str, str | None]
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Response:
    """`content` is sent as it is if it is bytes, else as JSON."""

    content: object = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Route:
    """Which requests a method of the hub answers, and whether they need the token."""

    methods: tuple[str, ...]
    pattern: re.Pattern
    answer: Callable[[FakeHub, Request], Response]
    needs_token: bool


ROUTES: list[Route] = []


def route(methods: str, pattern: str, needs_token: bool = True):
    """Registers a method of `FakeHub` for the requests whose whole path matches `pattern`. The first match answers."""

    def register(answer):
        ROUTES.append(Route(tuple(methods.split()), re.compile(pattern), answer, needs_token))
        return answer

    return register


class FakeHub:
    """The part of the Hub's HTTP API that `huggingface_hub` uses with Xet switched off.

    Args:
        port: 0 takes any free one.
        token: if given, requests without it are refused with status 401.

    Attributes:
        url: to be given as `HF_ENDPOINT`.
        repos: repositories by type and id, such as "models/user/name".
        log: (method, path) of each request.
        unknown: those of them that no route knows; a test should end with none.
    """

    def __init__(self, port: int = 0, token: str | None = None):
        self.token = token
        self.repos: dict[str, Repo] = {}
        self.log: list[tuple[str, str]] = []
        self.unknown: list[tuple[str, str]] = []
        self._lfs: dict[str, bytes] = {}  # large files by SHA-256, uploaded before the commit that names them
        self._failures: list[Failure] = []
        self._lock = threading.Lock()  # requests are answered in threads of their own
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
        self._server.daemon_threads = True
        self._server.hub = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FakeHub:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve_forever(self) -> None:
        """Answers requests until the context is left."""
        self._server.serve_forever(poll_interval=0.05)

    def fail_next(self, times: int, status: int = 500, path: str = "") -> None:
        """Answers the next `times` requests whose path contains `path` with `status`, and does not act on them."""
        self._failures.append(Failure(times, status, path))

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Response:
        """Finds the route of a request and follows it, one request at a time."""
        with self._lock:
            self.log.append((method, target))
            try:
                self._fail_if_asked(target)
                return self._dispatch(method, target, headers, body)
            except HubError as error:
                headers = {"X-Error-Code": error.code, "X-Error-Message": error.code, **error.headers}
                return Response({"error": error.code}, error.status, headers)

    def _fail_if_asked(self, target: str) -> None:
        for failure in self._failures:
            if failure.times and failure.path in target:
                failure.times -= 1
                raise HubError(failure.status, "InjectedFailure")

    def _dispatch(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Response:
        url = urlsplit(target)
        for candidate in ROUTES:
            match = candidate.pattern.fullmatch(unquote(url.path))
            if match and method in candidate.methods:
                if candidate.needs_token:
                    self._check_token(headers)
                return candidate.answer(self, Request(match.groupdict(), parse_qs(url.query), headers, body))
        self.unknown.append((method, target))
        raise HubError(404, "UnknownRoute")

    def _check_token(self, headers: dict[str, str]) -> None:
        if self.token is not None and headers.get("authorization") != f"Bearer {self.token}":
            raise HubError(401, "Unauthorized")

    def _repo(self, request: Request) -> Repo:
        key = f"{request.path['type'] or 'models'}/{request.path['id']}"
        if key not in self.repos:
            raise HubError(404, "RepoNotFound")
        return self.repos[key]

    # Accounts and repositories

    @route("GET", r"/api/whoami-v2")
    def _whoami(self, request: Request) -> Response:
        return Response({"type": "user", "name": USER, "orgs": []})

    @route("GET", r"/api/agent-harnesses", needs_token=False)
    def _agent_harnesses(self, request: Request) -> Response:
        raise HubError(404, "EntryNotFound")  # the client asks now and then, and goes on without an answer

    @route("POST", r"/api/repos/create")
    def _create_repo(self, request: Request) -> Response:
        wanted = request.json
        kind = wanted.get("type", "model") + "s"
        repo_id = f"{wanted.get('organization') or USER}/{wanted['name']}"
        url = f"{self.url}/{repo_id}" if kind == "models" else f"{self.url}/{kind}/{repo_id}"
        if f"{kind}/{repo_id}" in self.repos:
            return Response({"error": "You already created this repo", "url": url}, 409)
        self.repos[f"{kind}/{repo_id}"] = Repo(wanted.get("private") or wanted.get("visibility") == "private")
        return Response({"url": url, "name": repo_id, "id": repo_id})

    @route("POST", rf"{API_REPO}/branch/(?P<branch>[^/]+)")
    def _create_branch(self, request: Request) -> Response:
        repo, branch = self._repo(request), request.path["branch"]
        if branch in repo.branches:
            return Response({"error": "Reference already exists"}, 409)
        repo.branches[branch] = list(repo.history)
        return Response()

    # Uploads: validate the card, ask how each file is to be sent, send the large ones, commit

    @route("POST", r"/api/validate-yaml", needs_token=False)
    def _validate_card(self, request: Request) -> Response:
        return Response({"errors": [], "warnings": []})

    @route("POST", rf"{API_REPO}/preupload/(?P<revision>[^/]+)")
    def _preupload(self, request: Request) -> Response:
        files = self._repo(request).at(request.path["revision"]).files
        return Response({"files": [_upload_mode(file["path"], files) for file in request.json["files"]]})

    @route("POST", rf"{WEB_REPO}\.git/info/lfs/objects/batch")
    def _lfs_batch(self, request: Request) -> Response:
        objects = [{"oid": entry["oid"], "size": entry["size"]} for entry in request.json["objects"]]
        for entry in objects:
            if entry["oid"] not in self._lfs:
                entry["actions"] = {"upload": {"href": f"{self.url}/_lfs/{entry['oid']}"}}
        return Response({"transfer": "basic", "objects": objects})

    @route("PUT", r"/_lfs/(?P<oid>[0-9a-f]{64})", needs_token=False)  # the real address is signed instead
    def _lfs_upload(self, request: Request) -> Response:
        if hashlib.sha256(request.body).hexdigest() != request.path["oid"]:
            raise HubError(400, "ChecksumMismatch")
        self._lfs[request.path["oid"]] = request.body
        return Response()

    @route("POST", rf"{API_REPO}/commit/(?P<revision>[^/]+)")
    def _commit(self, request: Request) -> Response:
        repo = self._repo(request)
        message, changes = "", {}
        for operation in map(json.loads, request.body.splitlines()):
            if operation["key"] == "header":
                message = operation["value"]["summary"]
            else:
                changes.update(self._changes(operation["key"], operation["value"], repo.files))
        commit = repo.commit(changes, message, request.path["revision"])
        url = f"{self.url}/{request.path['id']}/commit/{commit.sha}"
        return Response({"success": True, "commitOid": commit.sha, "commitUrl": url, "hookOutput": ""})

    def _changes(self, operation: str, value: dict, files: Files) -> dict[str, bytes | None]:
        """What one operation of a commit does to the files."""
        path = value["path"]
        if operation == "file":
            return {path: base64.b64decode(value["content"])}
        if operation == "lfsFile":
            return {path: self._lfs[value["oid"]]}
        if operation == "deletedFile":
            return {path: None}
        if operation == "deletedFolder":
            return {name: None for name in files if name.startswith(path.rstrip("/") + "/")}
        raise HubError(400, f"UnknownOperation {operation}")

    # Downloads

    @route("GET", rf"{API_REPO}(?:/revision/(?P<revision>.+))?")
    def _repo_info(self, request: Request) -> Response:
        commit = self._repo(request).at(request.path["revision"] or "main")
        info = {"_id": "0", "id": request.path["id"], "modelId": request.path["id"], "sha": commit.sha}
        info |= {"private": self._repo(request).private, "tags": [], "downloads": 0, "likes": 0}
        return Response(info | {"siblings": [{"rfilename": path} for path in sorted(commit.files)]})

    @route("GET", rf"{API_REPO}/tree/(?P<revision>[^/]+)/?(?P<folder>.*)")
    def _tree(self, request: Request) -> Response:
        files = self._repo(request).at(request.path["revision"]).files
        recursive = request.query.get("recursive", ["false"])[0].lower() == "true"
        entries = _list_folder(files, request.path["folder"], recursive)
        if request.path["folder"] and not entries:
            raise HubError(404, "EntryNotFound")
        return Response(entries)

    @route("GET HEAD", rf"{WEB_REPO}/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
    def _download(self, request: Request) -> Response:
        commit = self._repo(request).at(request.path["revision"])
        path, headers = request.path["file"], {"X-Repo-Commit": commit.sha}
        if path not in commit.files:
            raise HubError(404, "EntryNotFound", headers)
        data = commit.files[path]
        headers |= {"ETag": f'"{_etag(path, data)}"', "Accept-Ranges": "bytes"}
        wanted = re.match(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if not wanted:
            return Response(data, 200, headers)
        first, last = int(wanted[1]), int(wanted[2] or len(data) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return Response(data[first : last + 1], 206, headers)


def _is_lfs(path: str) -> bool:
    return path.endswith(LFS_SUFFIXES)


def _git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _etag(path: str, data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() if _is_lfs(path) else _git_hash(data)


def _upload_mode(path: str, files: Files) -> dict:
    mode = {"path": path, "uploadMode": "lfs" if _is_lfs(path) else "regular", "shouldIgnore": False}
    if path in files:
        mode["oid"] = _etag(path, files[path])  # lets the client leave out files that have not changed
    return mode


def _list_folder(files: Files, folder: str, recursive: bool) -> list[dict]:
    prefix = f"{folder}/" if folder else ""
    below = {path: path[len(prefix) :] for path in sorted(files) if path.startswith(prefix)}
    if recursive:
        return [_file_entry(path, files[path]) for path in below]
    folders = sorted({prefix + rest.split("/")[0] for rest in below.values() if "/" in rest})
    entries = [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in folders]
    return entries + [_file_entry(path, files[path]) for path, rest in below.items() if "/" not in rest]


def _file_entry(path: str, data: bytes) -> dict:
    entry = {"type": "file", "path": path, "size": len(data), "oid": _git_hash(data)}
    if _is_lfs(path):
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
    return entry


class _Handler(BaseHTTPRequestHandler):
    """Turns HTTP into calls of `FakeHub.answer`."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments) -> None:
        """Keeps quiet: `FakeHub.log` has it all."""

    def _answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        response = self.server.hub.answer(self.command, self.path, headers, self._read_body())
        raw = isinstance(response.content, bytes)
        content = response.content if raw else json.dumps(response.content).encode()
        self.send_response(response.status)
        self.send_header("Content-Type", "application/octet-stream" if raw else "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()  # the line break after each chunk
        self.rfile.readline()
        return body


def hub_environment(hub: FakeHub, tmp_path: Path) -> dict[str, str]:
    """The environment of a subprocess whose Hub is `hub` and whose cache is a folder of its own in `tmp_path`."""
    offline = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
    caches = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_DATASETS_CACHE", "HF_MODULES_CACHE", "HF_ASSETS_CACHE")
    environment = {name: value for name, value in os.environ.items() if name not in offline + caches}
    return environment | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf_home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_TOKEN": hub.token or "any",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


if __name__ == "__main__":
    server = FakeHub(int(sys.argv[1]) if len(sys.argv) > 1 else 8765)
    print(server.url, flush=True)
    server.serve_forever()
