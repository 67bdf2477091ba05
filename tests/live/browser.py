"""A headless Chromium, driven through its DevTools protocol."""

import asyncio
import base64
import itertools
import json
import shutil
import subprocess
import time
from contextlib import contextmanager

import aiohttp
import cv2
import numpy as np

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
_PATIENCE = 60.0  # seconds for anything to happen on a busy machine


class Page:
    """One tab; all calls wait for their answer."""

    def __init__(self, loop, socket):
        self._loop, self._socket, self._numbers = loop, socket, itertools.count(1)

    def call(self, method, **params):
        return self._loop.run_until_complete(asyncio.wait_for(self._call(method, params), _PATIENCE))

    async def _call(self, method, params):
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async for message in self._socket:
            told = json.loads(message.data)
            if told.get("id") == number:
                assert "error" not in told, told
                return told["result"]
        raise AssertionError("the browser ended")

    def value(self, script):
        """What a JavaScript expression is."""
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def until(self, script):
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + _PATIENCE
        while not self.value(script):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.1)

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def look(self, dark=False, width=1280, height=900):
        """Give the window a size and a colour scheme; a narrow one is a phone's."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, of=None, whole=False):
        """(H, W, 3) RGB of the window, of an element, or of the whole page."""
        options = {"captureBeyondViewport": True} if whole else {}
        if whole or of is not None:
            box = f"document.querySelector({(of or 'html')!r}).getBoundingClientRect()"
            clip = json.loads(
                self.value(f"(() => {{ const b = {box}; return JSON.stringify([b.x, b.y, b.width, b.height]) }})()")
            )
            options["clip"] = dict(zip(("x", "y", "width", "height"), clip, strict=True)) | {"scale": 1}
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png", **options)["data"])
        return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


@contextmanager
def browser(folder):
    """A page in a browser of its own, whose files lie in a folder."""
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu-sandbox", "--use-angle=swiftshader"]
    command += ["--enable-unsafe-swiftshader", "--remote-debugging-port=0", "--no-first-run", "--disable-dev-shm-usage"]
    command += [f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    loop = asyncio.new_event_loop()
    try:
        session, socket = loop.run_until_complete(_connect(folder / "DevToolsActivePort", process))
        page = Page(loop, socket)
        page.call("Page.enable")
        yield page
        loop.run_until_complete(socket.close())
        loop.run_until_complete(session.close())
    finally:
        process.terminate()
        process.wait()
        loop.close()


async def _connect(told, process):
    end = time.monotonic() + _PATIENCE
    while not told.exists() or not told.read_text().strip():
        assert process.poll() is None, "the browser did not start"
        assert time.monotonic() < end, "the browser did not say its port"
        await asyncio.sleep(0.05)
    port = told.read_text().split()[0]
    session = aiohttp.ClientSession()
    async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
        target = next(target for target in await answer.json() if target["type"] == "page")
    return session, await session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0)
