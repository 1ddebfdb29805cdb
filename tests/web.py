"""A web server on this machine for files that are read over the network; no tests in here."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


@dataclass
class Web:
    """A folder on the web.

    Attributes:
        folder: what is served.
        address: of the folder.
        ranges: whether requests for a part of a file get that part; otherwise the whole file.
        versions: whether answers say when the file was written.
        redirects: where each file is said to have moved.
        silent: whether requests get no answer.
        failures: the statuses that the next requests get instead of an answer.
        asked: the requests that came: method, path, range.
        sent: the bytes of files that went out.
    """

    folder: Path
    address: str = ""
    ranges: bool = True
    versions: bool = True
    redirects: str = ""
    silent: bool = False
    failures: list[int] = field(default_factory=list)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    sent: int = 0


@contextmanager
def serve(folder: Path) -> Iterator[Web]:
    """Serve a folder; `datasets/OWNER/NAME/resolve/main` in it is also served as a data set of a Hub."""
    web = Web(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            web.asked.append((self.command, self.path, wanted))
            file = web.folder / urlsplit(self.path).path.lstrip("/")
            while web.silent:
                time.sleep(0.1)
            if web.failures:
                self.answer(web.failures.pop(0))
            elif web.redirects:
                self.answer(302, headers={"Location": web.redirects})
            elif hub := re.fullmatch(r"/api(/datasets/\w+/\w+)(/tree/main)?", urlsplit(self.path).path):
                files = (web.folder / hub[1].lstrip("/") / "resolve" / "main").iterdir()
                self.answer(200, json.dumps([describe(file) for file in files] if hub[2] else {"id": hub[1]}).encode())
            elif not file.is_file():
                self.answer(404)
            else:
                content, headers = file.read_bytes(), {}
                if web.versions:
                    headers["Last-Modified"] = formatdate(file.stat().st_mtime)
                found = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted) if web.ranges else None
                if found:
                    first, last = map(int, found.groups())
                    headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
                    self.answer(206, content[first : last + 1], headers)
                else:
                    self.answer(200, content, headers)

        def answer(self, status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            for start in range(0, len(content) if self.command == "GET" else 0, 2**16):
                try:
                    web.sent += self.wfile.write(content[start : start + 2**16])
                except ConnectionError:  # whoever asked has seen enough
                    self.close_connection = True
                    return

        def log_message(self, *arguments: object) -> None:
            pass

    def describe(file: Path) -> dict[str, object]:
        digest = hashlib.sha1(file.read_bytes()).hexdigest()
        return {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": digest}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    web.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
