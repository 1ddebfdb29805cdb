"""Run the service: bind its address, serve, and end in order."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from vsezoo.errors import UsageError, explain_system

PATIENCE = 15
"""Seconds that a connection may be open without a complete head of a request."""
CONNECTIONS = 1000
"""Most connections at a time."""
GRACE = 5
"""Seconds for the answers that are under way when the service is stopped."""


class ImpatientProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's protocol, which also closes connections whose clients never complete the head of a request."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        self._await_request()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()

    def _await_request(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if not self.transport.is_closing():
            self._deadline = self.loop.call_later(PATIENCE, self._close_if_idle, self.cycle)

    def _close_if_idle(self, last: Any) -> None:
        if self.cycle is last:  # no request has begun since
            self.transport.close()


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address; 0: any free port.

    Raises:
        UsageError: for a port in use, or an address that this machine does not have.
    """
    place = f"port {port} of {host}"
    try:
        family, _, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, socket.SOCK_STREAM, protocol)  # without it, asyncio leaves Nagle on: 40 ms
        try:
            if os.name == "posix":  # on Windows it would let two programs have the port
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except BaseException:
            bound.close()
            raise
    except socket.gaierror as error:
        raise UsageError(f"{host!r} is not an address: {error.strerror}.", remedy="Check --host.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"{place} is used by another program.", remedy="Choose another by --port, or a free one by --port 0."
            ) from None
        reason, _ = explain_system(error)
        raise UsageError(f"{place} cannot be used: {reason}.", remedy="Choose another by --host and --port.") from None
    return bound


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False  # `bind` says so
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)


def name_address(bound: socket.socket) -> str:
    """Return the address of a bound socket for a browser on this machine."""
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def make_server(app: FastAPI) -> uvicorn.Server:
    """Return the server of an application."""
    config = uvicorn.Config(
        app,
        http=ImpatientProtocol,
        ws="none",
        log_level="error",
        access_log=False,  # it would contain what people search for
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=GRACE,
    )
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it would write a line for each damaged form
    return uvicorn.Server(config)


def run(server: uvicorn.Server, bound: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; answers that are under way are finished.

    Args:
        server: the server.
        bound: its socket.
        ready: called when requests are accepted.
    """

    async def serve() -> None:
        announcing = asyncio.create_task(announce())
        try:
            await server.serve(sockets=[bound])
        finally:
            announcing.cancel()

    async def announce() -> None:
        while not server.started:
            await asyncio.sleep(0.01)
        ready()

    asyncio.run(serve())
