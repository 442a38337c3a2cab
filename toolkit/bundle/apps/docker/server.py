"""Serves the model over HTTP by the Open Inference Protocol, version 2.

    python server.py --port 8080

Settings may be given as variables of the environment too: HOST, PORT, THREADS, PARALLEL,
MAX_BODY_MB, READ_TIMEOUT_S.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
from typing import Any

import h11
import uvicorn
from anyio import CapacityLimiter, fail_after, to_thread
from app import Model
from service import RequestError, Service
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

WAITING = 64
"""Requests for answers at once; further ones get 503. Health and metadata are always told."""

CLOSE = {"Connection": "close"}
"""Where a body was not read to its end, nothing can follow it."""


def impatient(read_timeout_s: float) -> type[asyncio.Protocol]:
    """HTTP on connections that are closed where a request's head does not come in time."""

    class Impatient(H11Protocol):
        timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.watch()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self.stop()

        def watch(self) -> None:
            """Time the head, from its first byte; what follows it is timed as it is read."""
            if self.conn.their_state is not h11.IDLE:
                self.stop()
            elif self.timer is None:
                self.timer = self.loop.call_later(read_timeout_s, self.transport.close)

        def stop(self) -> None:
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None

    return Impatient


async def _read(request: Request, most_bytes: int, timeout_s: float) -> bytes:
    body = bytearray()
    try:
        with fail_after(timeout_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most_bytes:
                    told = f"the body has more than {most_bytes} bytes"
                    raise HTTPException(413, told, CLOSE)
    except TimeoutError as error:
        raise HTTPException(408, f"the body took more than {timeout_s:g} s", CLOSE) from error
    return bytes(body)


def application(
    service: Service, *, parallel: int, most_bytes: int, read_timeout_s: float
) -> Starlette:
    """The protocol's addresses.

    Args:
        service: Answers.
        parallel: Requests that are computed at the same time.
        most_bytes: Of a request's body.
        read_timeout_s: How long a body may take to arrive.
    """
    name = service.about["name"]
    limiter = CapacityLimiter(parallel)
    waiting = 0

    def check(request: Request) -> None:
        asked = request.path_params
        if asked["name"] != name or asked.get("version", "1") != "1":
            raise HTTPException(404, f"there is one model here: {name}, version 1")

    async def live(_request: Request) -> JSONResponse:
        return JSONResponse({"live": True})

    async def ready(_request: Request) -> JSONResponse:
        return JSONResponse({"ready": True})

    async def server(_request: Request) -> JSONResponse:
        version = str(service.about["version"])
        return JSONResponse({"name": "toolkit-bundle", "version": version, "extensions": []})

    async def model_ready(request: Request) -> JSONResponse:
        check(request)
        return JSONResponse({"name": name, "ready": True})

    async def metadata(request: Request) -> JSONResponse:
        check(request)
        return JSONResponse(service.metadata())

    async def infer(request: Request) -> JSONResponse:
        nonlocal waiting
        check(request)
        if waiting >= WAITING:
            raise HTTPException(503, f"{WAITING} requests are being answered; ask later", CLOSE)
        waiting += 1
        try:
            return await answered(request)
        finally:
            waiting -= 1

    async def answered(request: Request) -> JSONResponse:
        if "inference-header-content-length" in request.headers:
            raise HTTPException(400, "tensors must be JSON; this server has no binary extension")
        try:
            body = json.loads(await _read(request, most_bytes, read_timeout_s))
        except (ValueError, RecursionError) as error:
            raise HTTPException(400, f"the body is no JSON: {error}") from error
        try:
            answer = await to_thread.run_sync(service.infer, body, limiter=limiter)
        except RequestError as error:
            raise HTTPException(400, str(error)) from error
        return JSONResponse(answer)

    async def refused(_request: Request, error: Exception) -> JSONResponse:
        status = error.status_code if isinstance(error, HTTPException) else 500
        told = (
            error.detail if isinstance(error, HTTPException) else "the server failed; see its log"
        )
        headers = error.headers if isinstance(error, HTTPException) else None
        return JSONResponse({"error": told}, status, headers)

    routes = [
        Route("/v2", server),
        Route("/v2/health/live", live),
        Route("/v2/health/ready", ready),
    ]
    for base in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        routes += [
            Route(base, metadata),
            Route(f"{base}/ready", model_ready),
            Route(f"{base}/infer", infer, methods=["POST"]),
        ]
    return Starlette(routes=routes, exception_handlers={HTTPException: refused, Exception: refused})


def main() -> None:
    """Serve until SIGTERM or SIGINT; requests that run are answered first."""
    env = os.environ.get
    parser = argparse.ArgumentParser(description="Serve the model over HTTP.")
    parser.add_argument("--host", default=env("HOST", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=env("PORT", "8080"), help="0 takes a free one")
    parser.add_argument("--threads", type=int, default=env("THREADS", "0"), help="0: all cores")
    parser.add_argument("--parallel", type=int, default=env("PARALLEL", "2"))
    parser.add_argument("--max-body-mb", type=float, default=env("MAX_BODY_MB", "8"))
    parser.add_argument("--read-timeout-s", type=float, default=env("READ_TIMEOUT_S", "20"))
    given = parser.parse_args()
    service = Service(Model(threads=given.threads))
    listening = socket.socket(socket.AF_INET6 if ":" in given.host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((given.host, given.port))
    listening.listen()  # who reads the next line may connect at once
    config = uvicorn.Config(
        application(
            service,
            parallel=given.parallel,
            most_bytes=int(given.max_body_mb * 1e6),
            read_timeout_s=given.read_timeout_s,
        ),
        http=impatient(given.read_timeout_s),
        timeout_keep_alive=30,
        timeout_graceful_shutdown=20,
        server_header=False,
        access_log=False,
        log_level="warning",
    )
    print(json.dumps({"listening": listening.getsockname()[1]}), flush=True)
    # uvicorn raises the signal again when it is done: that is a good end here.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
