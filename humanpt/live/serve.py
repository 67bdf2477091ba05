"""The page of the demo, served to browsers: pictures, meshes, figures and buttons.

The server has a thread and an event loop of its own. `show` only puts the newest view there, so that no viewer, slow
or gone, holds up the pipeline; a picture is encoded once for all viewers, and not at all when there are none.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import secrets
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import jinja2
import numpy as np
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from humanpt import __version__
from humanpt.data.image import Rgb
from humanpt.errors import OutputError
from humanpt.live.controls import Controls
from humanpt.live.doorkeeper import Doorkeeper
from humanpt.live.draw import Faces, RecentTimes
from humanpt.live.message import message_of
from humanpt.live.shot import View
from humanpt.live.viewers import Viewer, Viewers

PORT = 8000
"""Where the page is served unless somebody says otherwise."""
PAGES = Path(__file__).parent.parent / "pages"
_MOST_VIEWERS = 64
_MOST_BYTES = 1024  # of what a request may carry
_STATUS_EVERY = 0.25  # seconds between looking whether the status has changed
_GRACE = 1.0  # seconds that requests under way are given at the end


class PageServer:
    """Serves the page from its making until it is closed."""

    url: str
    """What to open in a browser; holds the token where one is asked for."""

    def __init__(
        self,
        *,
        faces: Faces,
        controls: Controls,
        title: str = "humanpt demo",
        host: str = "127.0.0.1",
        port: int = PORT,
        token: str | None = None,
    ) -> None:
        """Begin to serve.

        Args:
            faces: the triangles of each kind of subject, from `draw.faces_of`; without any the page has no 3D view.
            controls: what the buttons do, and the status that is shown.
            title: of the page.
            host: the address to serve at; where other machines can reach it, the page asks for a token.
            port: its port; 0 finds a free one.
            token: what to ask for; by default a random one, or none where only this machine can reach the page.

        Raises:
            OutputError: if the port is in use or the address is not this machine's.
        """
        self._faces = {kind: np.ascontiguousarray(of_kind, "<u4").tobytes() for kind, of_kind in faces.items()}
        self._controls, self._title = controls, title
        self._doorkeeper = Doorkeeper(host, token)
        listening = _listen(host, port)
        self.port: int = listening.getsockname()[1]
        self.token = self._doorkeeper.token
        self._cookie = f"humanpt-{self.port}"
        self.url = _url(host, self.port, self.token)
        self._newest: tuple[View, Rgb, bool] | None = None
        self._written: tuple[tuple[View, Rgb, bool] | None, bytes] = None, b""  # what was written down last, and how
        self._times = RecentTimes()
        self._broken: BaseException | None = None
        self._viewers = Viewers(_MOST_VIEWERS)
        self._hands = ThreadPoolExecutor(1, "humanpt-page-actions")
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: self._run(listening), name="humanpt-page", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._broken is not None:
            raise self._broken

    @property
    def viewers(self) -> int:
        """How many pages are open."""
        return len(self._viewers)

    def show(self, view: View, drawn: Rgb) -> None:
        """Offer the newest view to all viewers; returns at once.

        Args:
            view: what is known.
            drawn: (H, W, 3) uint8 RGB that nobody writes into any more.

        Raises:
            Exception: what the page's own thread failed of, if it did.
        """
        if self._broken is not None:
            raise self._broken
        self._times.add(view)
        self._newest = (view, drawn, self._controls.status().mirrored)
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._fresh.set)

    def close(self) -> None:
        """End: viewers are told, and the port is free again."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._hands.shutdown(wait=False)

    def _run(self, listening: socket.socket) -> None:
        """Serve, by a thread of its own; its error is for whoever shows something, or waits for the start."""
        try:
            asyncio.run(self._serve(listening))
        except Exception as error:
            self._broken = error
        finally:
            listening.close()
            self._started.set()

    async def _serve(self, listening: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._fresh, self._ended = asyncio.Event(), asyncio.Event()
        runner = web.AppRunner(
            self._app(), handle_signals=False, access_log=None, logger=_logger(), shutdown_timeout=_GRACE
        )
        await runner.setup()
        await web.SockSite(runner, listening).start()
        self._started.set()
        work = [asyncio.create_task(self._encode()), asyncio.create_task(self._watch())]
        ended = asyncio.create_task(self._ended.wait())
        await asyncio.wait([*work, ended], return_when=asyncio.FIRST_COMPLETED)
        self._broken = next((task.exception() for task in work if task.done()), None)
        for task in (*work, ended):
            task.cancel()
        await asyncio.gather(*work, ended, return_exceptions=True)
        await self._viewers.close()
        await runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=_MOST_BYTES)
        app.router.add_get("/", self._page)
        app.router.add_get("/live", self._live)
        app.router.add_get("/faces/{kind}", self._faces_of)
        app.router.add_post("/do/{action}", self._do)
        app.router.add_static("/static", PAGES / "static")
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._doorkeeper.check(request, self._cookie)
        answer = await handler(request)
        if not answer.prepared:
            answer.headers.setdefault("Cache-Control", "no-cache")
            answer.headers["X-Content-Type-Options"] = "nosniff"
            answer.headers["Cross-Origin-Resource-Policy"] = "same-origin"
            answer.headers["Referrer-Policy"] = "no-referrer"
        return answer

    async def _page(self, request: web.Request) -> web.Response:
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(PAGES), autoescape=True, undefined=jinja2.StrictUndefined
        )
        nonce = secrets.token_urlsafe(16)
        text = environment.get_template("demo.html").render(
            title=self._title, version=__version__, nonce=nonce, actions=self._controls.names, meshes=bool(self._faces)
        )
        policy = (
            f"default-src 'self'; script-src 'self' 'nonce-{nonce}'; img-src 'self' blob: data:; "
            "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
        )
        headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def _faces_of(self, request: web.Request) -> web.Response:
        kind = request.match_info["kind"]
        if kind not in self._faces:
            raise web.HTTPNotFound(text=f"{kind}: no such kind; there are {', '.join(self._faces)}")
        return web.Response(body=self._faces[kind], content_type="application/octet-stream")

    async def _do(self, request: web.Request) -> web.Response:
        name = request.match_info["action"]
        if name not in self._controls.names:
            raise web.HTTPNotFound(text=f"{name}: no such action; there are {', '.join(self._controls.names)}")
        done, line = await asyncio.get_running_loop().run_in_executor(self._hands, self._controls.do, name)
        self._tell_status()
        return web.json_response({"line": line}, status=200 if done else 409)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if self._viewers.full:
            raise web.HTTPServiceUnavailable(text=f"{len(self._viewers)} viewers already; close one of them")
        if not web.WebSocketResponse().can_prepare(request):
            raise web.HTTPBadRequest(text="/live talks over a WebSocket; open the page at /")
        viewer = Viewer()
        viewer.tell("status", asdict(self._controls.status()))
        of, message = self._written
        if of is not None and of is self._newest:
            viewer.offer(message)
        else:  # nobody looked when it came
            self._fresh.set()
        await self._viewers.serve(viewer, request)
        return viewer.socket

    async def _encode(self) -> None:
        """Write each newest view down once, and offer it to all."""
        while True:
            await self._fresh.wait()
            self._fresh.clear()
            newest = self._newest
            if newest is None or newest is self._written[0] or not self._viewers:
                continue
            view, drawn, mirrored = newest
            message = await asyncio.to_thread(message_of, view, drawn, self._times, mirrored)
            self._written = newest, message
            for viewer in self._viewers:
                viewer.offer(message)

    async def _watch(self) -> None:
        """Say so when the status changes, also while no picture comes."""
        told = self._controls.status()
        while True:
            await asyncio.sleep(_STATUS_EVERY)
            if (status := self._controls.status()) != told:
                told = status
                self._tell_status()

    def _tell_status(self) -> None:
        told = asdict(self._controls.status())
        for viewer in self._viewers:
            viewer.tell("status", told)


def _logger() -> logging.Logger:
    """Tells what the page fails of, and nothing of requests that make no sense: anybody can send those."""
    logger = logging.getLogger(__name__)
    logger.addFilter(_is_ours)
    return logger


def _is_ours(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        told = getattr(error, "strerror", None) or str(error)
        here = not isinstance(error, socket.gaierror) and getattr(error, "errno", None) != errno.EADDRNOTAVAIL
        other = "another port, or 0 for any free one" if here else "an address of this machine by --host"
        raise OutputError(f"{host}:{port}: the page cannot be served there ({told.lower()}); name {other}") from None


def _url(host: str, port: int, token: str | None) -> str:
    name = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")
