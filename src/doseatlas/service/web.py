"""What is served over HTTP? DICOMweb's store, and for those who run the service: /health, /ready and /metrics."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from doseatlas.network import Sender
from doseatlas.service.callers import Tokens, parse_address
from doseatlas.service.connections import GuardedProtocol
from doseatlas.service.logs import log
from doseatlas.service.storage import VALID_UID
from doseatlas.service.stow import StowRequest, problem
from doseatlas.settings import ServiceSettings

if TYPE_CHECKING:
    from doseatlas.service.listener import Listener

_MOST_UPLOADS = 200
_KEEP_ALIVE_SECONDS = 15


def application(settings: ServiceSettings, listener: Listener, unready: Callable[[], str | None]) -> Starlette:
    """Make the web application."""
    tokens = Tokens(settings.tokens)

    uploads = 0

    async def store(request: Request) -> Response:
        nonlocal uploads
        address = request.client.host if request.client else ""
        sender = _sender(request, address, tokens, settings)
        if sender is None:
            log("store request refused", level=logging.WARNING, address=address)
            listener.on_refused("", address, "no bearer token that is known")
            return problem(401, "A bearer token is needed that this service knows.", {"WWW-Authenticate": "Bearer"})
        study = request.path_params.get("study")
        if study is not None and not VALID_UID.fullmatch(study):
            return problem(400, "The Study Instance UID in the path is not valid.")
        if unready() == "starting or stopping":
            return problem(503, "The service is stopping. Try again.", {"Retry-After": "30"})
        if uploads >= _MOST_UPLOADS:
            return problem(503, "Too many requests are being stored at once. Try again.", {"Retry-After": "5"})
        uploads += 1
        try:
            return await StowRequest(listener, sender, study).take(request)
        finally:
            uploads -= 1

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_: Request) -> Response:
        reason = unready()
        return PlainTextResponse("ready\n") if reason is None else PlainTextResponse(f"not ready: {reason}\n", 503)

    async def metrics(_: Request) -> Response:
        text = await asyncio.to_thread(listener.metrics.text)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return Starlette(
        routes=[
            Route("/studies", store, methods=["POST"]),
            Route("/studies/{study}", store, methods=["POST"]),
            Route("/health", health),
            Route("/ready", ready),
            Route("/metrics", metrics),
        ]
    )


def _sender(request: Request, address: str, tokens: Tokens, settings: ServiceSettings) -> Sender | None:
    if tokens:
        row = tokens.find(request.headers.get("authorization", ""))
        if row is not None:
            return Sender(via="dicomweb", caller=row.name, address=address, facility=row.facility)
        return None
    if settings.anyone or (address and parse_address(address).is_loopback):
        return Sender(via="dicomweb", caller=address, address=address)
    return None


class _Uvicorn(uvicorn.Server):
    """A server whose signals are somebody else's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


class WebServer:
    """Serves an application on sockets that are bound already, each plain or with its TLS context."""

    def __init__(
        self, app: Starlette, sockets: list[tuple[socket.socket, ssl.SSLContext | None]], settings: ServiceSettings
    ) -> None:
        self._pairs = [(_server(app, tls, settings), bound) for bound, tls in sockets]
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Serve."""
        self._tasks = [asyncio.create_task(server.serve(sockets=[bound])) for server, bound in self._pairs]
        while not all(
            server.started or task.done() for (server, _), task in zip(self._pairs, self._tasks, strict=True)
        ):
            await asyncio.sleep(0.01)

    async def stop(self, grace_seconds: float) -> None:
        """Accept no more, let requests end, then cut them off."""
        for server, _ in self._pairs:
            server.should_exit = True
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace_seconds)
            for server, _ in self._pairs:
                server.force_exit = True
            if late:
                await asyncio.wait(late, timeout=5)


def _server(app: Starlette, tls: ssl.SSLContext | None, settings: ServiceSettings) -> _Uvicorn:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_keep_alive=math.ceil(min(_KEEP_ALIVE_SECONDS, settings.stall_seconds)),
        ws="none",
        http=GuardedProtocol,
        loop="asyncio",
    )
    config.load()
    config.ssl = tls  # uvicorn's own would take weaker suites
    return _Uvicorn(config)
