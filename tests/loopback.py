"""A Hub on the loopback: the HTTP that `huggingface_hub` speaks, over repositories in memory, with faults on demand.

No tests in here. What is like the Hub: commits that nobody changes, branches, private and gated repositories, tokens
that read or write, digests as ETags, files of LFS and plain ones, `X-Error-Code`, the check of a card's metadata.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from hub_repositories import Blob, Repository, Tree

OWNER, READER = "hf_owner", "hf_reader"
"""Tokens: one that may write, one that may not."""


@dataclass
class Fault:
    """What goes wrong: an answer in the place of the right one, or something done before or to it.

    Attributes:
        request: a pattern of `METHOD /path`.
        status: answer with this, and `headers`.
        spoil: what becomes of the body of the right answer.
        cut: send no more than half of the body.
        before: is called first.
        times: how often; negative: always.
    """

    request: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    spoil: Callable[[bytes], bytes] | None = None
    cut: bool = False
    before: Callable[[], object] | None = None
    times: int = -1


class RefusalError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str = "", message: str = "", **body: Any) -> None:
        self.status, self.code, self.message, self.body = status, code, message, body


class LoopbackHub:
    """The server: its repositories, the faults that wait, and what was asked of it."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, int]] = []
        self.xet = ""  # the address of the storage that xet is told
        self.lock = threading.RLock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def fail(self, request: str, status: int = 0, **more: Any) -> Fault:
        self.faults.append(Fault(request, status, **more))
        return self.faults[-1]

    def bodies(self, *methods: str) -> int:
        """Return how many bytes were sent in bodies: of files to the Hub by PUT and commits, from it by GET."""
        return sum(size for method, path, size in self.requests if method in methods and is_body(method, path))


def is_body(method: str, path: str) -> bool:
    return method == "PUT" or ("/commit/" in path if method == "POST" else "/resolve/" in path)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    def handle_request(self) -> None:
        self.body = self.read_body()
        address = urlsplit(self.path)
        self.route, self.query = unquote(address.path), parse_qs(address.query)
        request = f"{self.command} {self.route}"
        with self.hub.lock:
            fault = next((f for f in self.hub.faults if f.times and re.search(f.request, request)), None)
            if fault:
                fault.times -= 1
        if fault and fault.before:
            fault.before()
        sent, cut = len(self.body), False
        if fault and fault.status:
            status, content, headers = fault.status, b"{}", fault.headers
        else:
            try:
                with self.hub.lock:
                    status, content, headers = self.dispatch(request)
            except RefusalError as refusal:
                headers = {"X-Error-Code": refusal.code, "X-Error-Message": refusal.message}
                body = json.dumps({"error": refusal.message, **refusal.body}).encode()
                status, content = refusal.status, body
                headers = {name: value for name, value in headers.items() if value}
            if fault and fault.spoil:
                content = fault.spoil(content)
            if self.command == "GET":
                sent = len(content)
            cut = bool(fault and fault.cut)
        # Before the answer: a test that has its answer may count the requests at once.
        self.hub.requests.append((self.command, self.route, sent))
        self.answer(status, content, headers, cut)

    do_GET = do_HEAD = do_POST = do_PUT = handle_request  # noqa: N815

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status: int, content: bytes, headers: dict[str, str], cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        if cut:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(BrokenPipeError):  # a client that waits no longer
                self.wfile.write(content[: len(content) // 2] if cut else content)

    def dispatch(self, request: str) -> tuple[int, bytes, dict[str, str]]:
        for pattern, method in ROUTES:
            match = re.fullmatch(pattern, request)
            if match:
                result = method(self, **match.groupdict())
                return result if isinstance(result, tuple) else (200, json.dumps(result).encode(), {})
        raise RefusalError(404, message=f"no such route: {request}")

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""

    # Who may do what

    @property
    def token(self) -> str | None:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None

    def open(self, name: str, write: bool = False) -> Repository:
        if self.token not in (None, OWNER, READER):
            raise RefusalError(401, message="Invalid credentials in Authorization header")
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and self.token != OWNER):
            raise RefusalError(404 if self.token else 401, "RepoNotFound", "Repository not found")
        if write and self.token != OWNER:
            raise RefusalError(403 if self.token else 401, message="You don't have the required permissions")
        return repository

    def find(self, repository: Repository, revision: str) -> tuple[str, Tree]:
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            raise RefusalError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit, repository.commits[commit]

    # The routes

    def create(self) -> Any:
        if self.token != OWNER:
            raise RefusalError(403 if self.token else 401, message="Invalid username or password.")
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        url = f"{self.hub.endpoint}/{name}"
        if name in self.hub.repositories:
            raise RefusalError(409, message="You already created this model repo", url=url)
        private = asked.get("private") or asked.get("visibility") == "private"
        self.hub.repositories[name] = Repository(private=bool(private))
        return {"url": url}

    def create_branch(self, name: str, branch: str) -> Any:
        repository = self.open(name, write=True)
        if branch in repository.branches:
            raise RefusalError(409, message="Reference already exists")
        repository.branches[branch] = repository.branches["main"]
        return {}

    def info(self, name: str, revision: str = "main") -> Any:
        repository = self.open(name)
        commit, tree = self.find(repository, revision)
        siblings = [{"rfilename": path} for path in sorted(tree)]
        gated = "manual" if repository.gated else False
        return {
            **{"_id": "0", "id": name, "modelId": name, "sha": commit, "private": repository.private, "gated": gated},
            **{"siblings": siblings, "tags": [], "downloads": 0, "likes": 0},
        }

    def tree(self, name: str, revision: str) -> Any:
        repository = self.open(name)
        _, tree = self.find(repository, revision)
        entries = []
        for path, blob in sorted(tree.items()):
            entry: dict[str, Any] = {"type": "file", "path": path, "size": blob.size, "oid": blob.git}
            if blob.lfs:
                entry["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": 130}
            entries.append(entry)
        return entries

    def paths_info(self, name: str, revision: str) -> Any:
        asked = parse_qs(self.body.decode())["paths"]
        return [entry for entry in self.tree(name, revision) if entry["path"] in asked]

    def resolve(self, name: str, revision: str, path: str) -> tuple[int, bytes, dict[str, str]]:
        repository = self.open(name)
        if repository.gated and self.token != OWNER:
            raise RefusalError(403 if self.token else 401, "GatedRepo", f"Access to model {name} is restricted.")
        commit, tree = self.find(repository, revision)
        if path not in tree:
            raise RefusalError(404, "EntryNotFound", "Entry not found")
        blob = tree[path]
        assert blob.content is not None
        headers = {"X-Repo-Commit": commit, "ETag": f'"{blob.etag}"'}
        if blob.lfs:
            headers |= {"X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": str(blob.size)}
        asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked and self.command == "GET":
            first, last = int(asked[1]), int(asked[2] or blob.size - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{blob.size}"
            return 206, blob.content[first : last + 1], headers
        return 200, blob.content, headers

    def validate(self) -> Any:
        content = json.loads(self.body)["content"]
        match = re.match(r"---\n(.*?)\n---\n", content, flags=re.DOTALL)
        try:
            head = yaml.safe_load(match[1]) if match else {}
        except yaml.YAMLError as error:
            raise RefusalError(400, errors=[{"message": str(error)}], warnings=[]) from None
        if isinstance(head.get("license"), str) and not re.fullmatch(r"[a-z0-9.-]+", head["license"]):
            raise RefusalError(400, errors=[{"message": '"license" must be one of [apache-2.0, mit, …]'}], warnings=[])
        return {"errors": [], "warnings": [] if head else [{"message": "empty or missing yaml metadata in repo card"}]}

    def preupload(self, name: str, revision: str) -> Any:
        repository = self.open(name, write=True)
        _, tree = self.find(repository, revision)
        files = []
        for asked in json.loads(self.body)["files"]:
            held = tree.get(asked["path"])
            lfs = asked["path"].endswith((".safetensors", ".png"))
            oid = {"oid": held.etag} if held else {}
            mode = {"uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
            files.append({"path": asked["path"], **mode, **oid})
        return {"files": files}

    def batch(self, name: str) -> Any:
        self.open(name, write=True)
        objects = []
        for asked in json.loads(self.body)["objects"]:
            actions = {}
            if asked["oid"] not in self.hub.objects:
                upload = {"href": f"{self.hub.endpoint}/lfs/{asked['oid']}"}
                actions = {"actions": {"upload": upload, "verify": {"href": f"{self.hub.endpoint}/lfs-verify"}}}
            objects.append({**asked, **actions})
        return {"transfer": "basic", "objects": objects}

    def put(self, oid: str) -> Any:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise RefusalError(400, message="the digest is another")
        self.hub.objects[oid] = self.body
        return 200, b"", {}

    def verify(self) -> Any:
        if json.loads(self.body)["oid"] not in self.hub.objects:
            raise RefusalError(404, message="no such object")
        return {}

    def commit(self, name: str, revision: str) -> Any:
        repository = self.open(name, write=True)
        commit, _ = self.find(repository, revision)
        lines = [json.loads(line) for line in self.body.splitlines()]
        header = lines[0]["value"]
        if header.get("parentCommit") not in (None, commit):
            raise RefusalError(412, message="A commit has happened since. Please refresh and try again.")
        changes: Tree = {}
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                changes[value["path"]] = Blob.of(base64.b64decode(value["content"]), False)
            elif line["key"] == "lfsFile":
                content = self.hub.objects.get(value["oid"])
                if content is None and not self.hub.xet:
                    raise RefusalError(400, message=f"the LFS object {value['oid']} was not uploaded")
                changes[value["path"]] = Blob(content, True, value["oid"], value["size"])
        answer = {"success": True, "hookOutput": ""}
        branch = revision
        if "create_pr" in self.query:
            repository.pulls += 1
            branch = f"refs/pr/{repository.pulls}"
            repository.branches[branch] = commit
            answer["pullRequestUrl"] = f"{self.hub.endpoint}/{name}/discussions/{repository.pulls}"
        new = repository.commit(changes, branch, header["summary"])
        return {**answer, "commitOid": new, "commitUrl": f"{self.hub.endpoint}/{name}/commit/{new}"}

    def xet_token(self, name: str, revision: str) -> Any:
        self.open(name, write=True)
        if not self.hub.xet:
            raise RefusalError(404, message="Not found")
        expires = int(time.time()) + 3600
        headers = {"X-Xet-Cas-Url": self.hub.xet, "X-Xet-Access-Token": "x", "X-Xet-Token-Expiration": str(expires)}
        body = {"casUrl": self.hub.xet, "accessToken": "x", "exp": expires}
        return 200, json.dumps(body).encode(), headers


REPOSITORY = r"(?P<name>(?:datasets/)?[^/]+/[^/]+)"
DATASET = r"(?P<name>datasets/[^/]+/[^/]+)"
REVISION = r"(?P<revision>refs/pr/\d+|refs/convert/parquet|[^/]+)"
ROUTES: list[tuple[str, Callable[..., Any]]] = [
    (r"POST /api/repos/create", Handler.create),
    (r"POST /api/validate-yaml", Handler.validate),
    (rf"POST /api/models/{REPOSITORY}/branch/(?P<branch>.+)", Handler.create_branch),
    (rf"POST /api/models/{REPOSITORY}/preupload/(?P<revision>.+)", Handler.preupload),
    (rf"POST /api/models/{REPOSITORY}/commit/(?P<revision>.+)", Handler.commit),
    (rf"GET /api/models/{REPOSITORY}/revision/(?P<revision>.+)", Handler.info),
    (rf"GET /api/models/{REPOSITORY}/tree/(?P<revision>[^?]+)", Handler.tree),
    (rf"GET /api/models/{REPOSITORY}/xet-write-token/(?P<revision>.+)", Handler.xet_token),
    (rf"GET /api/models/{REPOSITORY}", Handler.info),
    (rf"POST /{REPOSITORY}\.git/info/lfs/objects/batch", Handler.batch),
    (r"PUT /lfs/(?P<oid>[0-9a-f]{64})", Handler.put),
    (r"POST /lfs-verify", Handler.verify),
    (rf"GET /api/{DATASET}/revision/(?P<revision>.+)", Handler.info),
    (rf"GET /api/{DATASET}/tree/(?P<revision>[^?/]+)(?:/.*)?", Handler.tree),
    (rf"POST /api/{DATASET}/paths-info/{REVISION}", Handler.paths_info),
    (rf"GET /api/{DATASET}", Handler.info),
    (rf"(?:GET|HEAD) /{REPOSITORY}/resolve/{REVISION}/(?P<path>.+)", Handler.resolve),
]
