"""What a request must pass before it is answered: who asks, how often, how much, and for how long. Plain ASGI."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any

from fastapi import HTTPException

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "vsezoo"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
OPEN = frozenset({"/", "/health", "/openapi.json"})
PAGE = "/page/"
"""Addresses that need no token: they tell nothing of the collection."""
COUNTED = ("/search", "/embed")
"""Addresses that the limit of the rate is for: they need the model."""
UPLOADS = frozenset({"/search/picture", "/embed/picture"})
BODY = 256 * 1024
"""Most bytes of a request that is not an upload."""
DISCARDED = 64 * 2**20
"""Most bytes that are received of a body that is too large."""
CLIENTS = 10_000
"""Number of clients whose rate is remembered."""
RECEIVED = 64
"""Most uploads at a time: beyond 1 MB, each is in a temporary file until it is answered."""
PORT = re.compile(r":\d*$")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
ENCODED = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


@dataclass(frozen=True)
class Limits:
    """Limits on requests.

    Attributes:
        rate: searches a second of one client, in the long run; 0: no limit.
        upload: bytes of an uploaded picture, with its form.
        seconds: time from the first to the last byte of a request and its answer.
    """

    rate: float = 0
    upload: int = 20_000_000
    seconds: float = 30


class _Refusal(Exception):  # noqa: N818 (no error of ours)
    def __init__(self, status: int, error: str, remedy: str, headers: Mapping[str, str] | None = None) -> None:
        self.status, self.error, self.remedy, self.headers = status, error, remedy, headers or {}


class Guard:
    """Refuses requests, and adds headers to all answers.

    Args:
        app: answers those that pass.
        token: what a request must send; empty: none is needed, but its Host must be one of this machine's own names,
            so that no website can make a browser ask (DNS rebinding).
        limits: limits on requests.
        hosts: further names of the machine.
    """

    def __init__(self, app: App, token: str, limits: Limits, hosts: frozenset[str] = LOOPBACK) -> None:
        self._app, self._token, self._limits, self._hosts = app, token, limits, hosts
        self.cookie = make_cookie(token) if token else ""
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._uploads = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), *ENCODED]
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            self._require_origin(headers)
            self._require_token(scope, headers)
            self._count(scope)
            is_upload = scope["path"] in UPLOADS
            most = self._limits.upload if is_upload else BODY
            method = "GET" if scope["method"] == "HEAD" else scope["method"]  # the server leaves the body out
            with self._take_turn() if is_upload else nullcontext():
                async with asyncio.timeout(self._limits.seconds):
                    await require_size(headers, most, receive)
                    await self._app({**scope, "method": method}, _limit(receive, most), send_with_headers)
        except TimeoutError:
            refusal = _Refusal(
                503,
                f"The request took longer than {self._limits.seconds:g} s.",
                "Send it again, or a smaller one.",
                {"retry-after": "1", "connection": "close"},
            )
        except asyncio.CancelledError:  # the server waits no longer
            refusal = _Refusal(503, "The service has been stopped.", "Start it again.", {"connection": "close"})
        except _Refusal as error:
            refusal = error
        else:
            return
        if not started:  # an answer that has started ends here, with its connection
            await _send_refusal(send_with_headers, refusal)

    def _require_origin(self, headers: Mapping[str, str]) -> None:
        """Refuse what a page of another website makes a browser send."""
        host, origin = headers.get("host", "").lower(), headers.get("origin", "").lower()
        if not self._token and PORT.sub("", host) not in self._hosts:
            raise _Refusal(
                403,
                f"The service does not answer to the name {headers.get('host', '')!r}.",
                "Use its address, such as http://127.0.0.1, or start it with a token.",
            )
        foreign = headers.get("sec-fetch-site", "") in ("cross-site", "same-site")
        # What has a token may be behind a server that gives it another name.
        sent = not self._token and origin and origin.partition("://")[2] != host
        if sent or (foreign and headers.get("sec-fetch-mode") != "navigate"):
            raise _Refusal(403, "Another website has sent this request.", "Open the page of the service itself.")

    def _require_token(self, scope: Scope, headers: Mapping[str, str]) -> None:
        if not self._token or scope["path"] in OPEN or scope["path"].startswith(PAGE):
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token.encode()):
            return
        if hmac.compare_digest(_read_cookie(headers.get("cookie", "")).encode(), self.cookie.encode()):
            return
        wrong = "authorization" in headers
        raise _Refusal(
            401,
            "The token is wrong." if wrong else "The service needs a token.",
            "Send the one that `vsezoo serve` has printed: Authorization: Bearer TOKEN",
            {"www-authenticate": "Bearer"},
        )

    @contextmanager
    def _take_turn(self) -> Iterator[None]:
        """Count an upload, and refuse it if there are too many."""
        if self._uploads >= RECEIVED:
            raise _Refusal(
                503, "The service is busy.", "Try again in a second.", {"retry-after": "1", "connection": "close"}
            )
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1

    def _count(self, scope: Scope) -> None:
        """Refuse a client that searches too often. A bucket of two seconds' worth lets it type."""
        rate = self._limits.rate
        if not rate or not scope["path"].startswith(COUNTED):
            return
        name, now = (scope.get("client") or ("",))[0], time.monotonic()
        spent, then = self._spent.pop(name, (0.0, now))
        spent = max(0.0, spent - (now - then) * rate)
        refused = spent + 1 > max(2 * rate, 1)
        self._spent[name] = (spent if refused else spent + 1, now)
        if len(self._spent) > CLIENTS:
            self._spent.popitem(last=False)
        if refused:
            raise _Refusal(
                429, f"More than {rate:g} searches a second.", "Wait a second, then go on.", {"retry-after": "1"}
            )


def make_cookie(token: str) -> str:
    """Return what a browser keeps in the place of a token."""
    return hmac.new(token.encode(), b"vsezoo page", hashlib.sha256).hexdigest()


async def require_size(headers: Mapping[str, str], most: int, receive: Receive) -> None:
    """Refuse a body that declares to be larger."""
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        if int(length) <= DISCARDED:
            await _discard(receive)
        raise _Refusal(413, _describe_size(most), "Send a smaller one.", {"connection": "close"})


async def _discard(receive: Receive) -> None:
    """Receive the rest of a body: a client that is still sending when it is refused would not see the answer."""
    received, message = 0, await receive()
    while message.get("more_body") and received < DISCARDED:
        received += len(message["body"])
        message = await receive()


def _describe_size(most: int) -> str:
    return f"The request is larger than {most // 1000:,} kB."


def _limit(receive: Receive, most: int) -> Receive:
    """Return a function that receives no more than so many bytes; FastAPI lets this error through its parsers."""
    received = 0

    async def receive_some() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > most:
            if message.get("more_body"):
                await _discard(receive)
            raise HTTPException(413, _describe_size(most), {"connection": "close"})
        return message

    return receive_some


async def _send_refusal(send: Send, refusal: _Refusal) -> None:
    body = json.dumps({"error": refusal.error, "remedy": refusal.remedy}).encode()
    fields = {"content-type": "application/json", "content-length": str(len(body)), **refusal.headers}
    headers = [(name.encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _read_cookie(header: str) -> str:
    try:
        cookie = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return cookie.value if cookie else ""
