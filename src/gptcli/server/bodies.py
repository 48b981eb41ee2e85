"""Reads the body of a request, within the limits of size and time."""

from __future__ import annotations

import asyncio
import time

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest

from gptcli.server.service import Limits

_DISCARD_SECONDS = 10.0
"""How long the rest of a body that is too large is read and dropped: an answer to a client that still sends is lost."""


async def read_body(request: HttpRequest, limits: Limits) -> bytes:
    """The body. Raises HTTPException: 408 if it comes too slowly, 413 if it is too large, 415 if it is no JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # a web page may send other types to any address without asking first
        raise HTTPException(415, "The content type must be application/json.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(415, "The body must not be compressed.")
    try:
        return await asyncio.wait_for(_read(request, limits.body), limits.body_seconds)
    except (asyncio.TimeoutError, TimeoutError):
        message = f"The body did not arrive within {limits.body_seconds:g} seconds."
        raise HTTPException(408, message, {"connection": "close"}) from None
    except ClientDisconnect:
        raise HTTPException(400, "The client went away.") from None


async def _read(request: HttpRequest, most: int) -> bytes:
    size, pieces = 0, []
    length = request.headers.get("content-length", "0")
    if length.isascii() and length.isdecimal() and int(length[:18]) > most:
        await _refuse(request, most)
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            await _refuse(request, most)
        pieces.append(piece)
    return b"".join(pieces)


async def _refuse(request: HttpRequest, most: int) -> None:
    deadline = time.monotonic() + _DISCARD_SECONDS
    async for _ in request.stream():
        if time.monotonic() > deadline:
            break
    raise HTTPException(413, f"The body is larger than {most:,} bytes.", {"connection": "close"})
