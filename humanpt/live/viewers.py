"""Those who look at the page: each is given the newest view when it is ready for one, and none waits for another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from aiohttp import WSMsgType, web

_AHEAD = 2  # views on the way to one viewer that it has not drawn yet: one travels while it draws the other
_MOST_BYTES = 4096  # of what a viewer may say
_HEARTBEAT = 15.0  # seconds between asking whether a viewer is still there


class Viewer:
    """One open page."""

    def __init__(self) -> None:
        self.socket = web.WebSocketResponse(heartbeat=_HEARTBEAT, max_msg_size=_MOST_BYTES, compress=False)
        self._ready = _AHEAD
        self._news = asyncio.Event()
        self._frame: bytes | None = None
        self._texts: dict[str, str] = {}

    def offer(self, frame: bytes) -> None:
        """Have the newest view sent; one that was offered before and not sent is forgotten."""
        self._frame = frame
        self._news.set()

    def tell(self, topic: str, told: dict[str, Any]) -> None:
        """Have something said; of each topic only the newest."""
        self._texts[topic] = json.dumps({"topic": topic, **told})
        self._news.set()

    async def serve(self, request: web.Request) -> None:
        """Talk until the page is closed; it says `next` when it has drawn a view, and all else is left unheard."""
        await self.socket.prepare(request)
        sending = asyncio.create_task(self._send())
        try:
            async for message in self.socket:
                if message.type == WSMsgType.TEXT and message.data == "next":
                    self._ready = min(_AHEAD, self._ready + 1)
                    self._news.set()
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await sending

    async def _send(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._texts:
                await self.socket.send_str(self._texts.pop(next(iter(self._texts))))
            if self._frame is not None and self._ready > 0:
                frame, self._frame = self._frame, None
                self._ready -= 1
                await self.socket.send_bytes(frame)


class Viewers:
    """All open pages."""

    def __init__(self, most: int) -> None:
        """Begin with none; `most` may look at once."""
        self._most = most
        self._open: set[Viewer] = set()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Viewer]:
        return iter(tuple(self._open))

    @property
    def full(self) -> bool:
        """Whether there is no room for another."""
        return len(self._open) >= self._most

    async def serve(self, viewer: Viewer, request: web.Request) -> None:
        """Talk to one until its page is closed."""
        self._open.add(viewer)
        try:
            await viewer.serve(request)
        finally:
            self._open.discard(viewer)

    async def close(self) -> None:
        """Say goodbye to all."""
        for viewer in self:
            with suppress(Exception):
                await asyncio.wait_for(viewer.socket.close(code=1001, message=b"the demo has ended"), 1.0)
