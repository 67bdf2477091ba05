"""The page, from outside: over HTTP and WebSockets, and in a browser."""

import asyncio
import json
import socket
import threading
from dataclasses import replace
from functools import cache

import aiohttp
import numpy as np
import pytest

from humanpt.data.image import decode_jpeg
from humanpt.errors import OutputError
from humanpt.live import serve
from humanpt.live.controls import Controls, Status
from humanpt.live.doorkeeper import is_loopback
from humanpt.live.draw import Drawer, faces_of
from humanpt.live.loop import Loop
from humanpt.live.serve import PageServer
from tests.live.browser import CHROMIUM, browser
from tests.live.made import MadeSource
from tests.live.views import HEIGHT, WIDTH, model, subject, view


@cache
def hands():
    return subject(1, "hand_right", (-0.1, 0.0, 0.5)), subject(2, "hand_left", (0.1, 0.0, 0.6))


class Demo:
    """A page server with a program behind it, and views to show."""

    def __init__(self, **options):
        self.done, self.recording, self.trouble = [], False, None
        faces = faces_of(model("hand_right"))
        self.drawer = Drawer(faces)
        actions = {"record": self.record, "snapshot": self.snapshot, "mirror": self.mirror}
        self.server = PageServer(faces=faces, controls=Controls(actions, self.status), port=0, **options)
        self.base = f"http://127.0.0.1:{self.server.port}"
        self.number = 0
        self.hands = hands()

    def status(self):
        mirrored = self.drawer.mirrored
        return Status(source="made hands", trouble=self.trouble, recording=self.recording, mirrored=mirrored)

    def record(self):
        self.recording = not self.recording
        return f"recording: {self.recording}"

    def mirror(self):
        self.drawer.mirrored = not self.drawer.mirrored
        return f"mirrored: {self.drawer.mirrored}"

    def snapshot(self):
        raise OutputError("out/0001.jpg: the disk is full; make room and try again")

    def show(self, **options):
        seen = view(*self.hands, number=self.number, **options)
        self.number += 1
        self.server.show(seen, self.drawer(seen))
        return seen


@pytest.fixture
def demo():
    started = Demo()
    yield started
    started.server.close()


@pytest.fixture
def guarded():
    started = Demo(host="0.0.0.0")
    yield started
    started.server.close()


def talk(conversation):
    """Run a conversation of a client, `async def conversation(session)`."""

    async def run():
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            return await asyncio.wait_for(conversation(session), 60)

    return asyncio.run(run())


def answer(url, method="GET", **options):
    """Status and text of one request."""

    async def conversation(session):
        async with session.request(method, url, **options) as answered:
            return answered.status, (await answered.read()).decode(errors="replace")

    return talk(conversation)


async def frame(live):
    """The next view that comes over a socket: its head, the vertices of all subjects, the picture."""
    while True:
        message = await live.receive(timeout=30)
        assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message
        if message.type == aiohttp.WSMsgType.BINARY:
            break
    length = int.from_bytes(message.data[:4], "little")
    head = json.loads(message.data[4 : 4 + length])
    end = 4 + length + 12 * sum(one["vertices"] for one in head["subjects"])
    assert length % 4 == 0
    return head, np.frombuffer(message.data[4 + length : end], "<f4").reshape(-1, 3), decode_jpeg(message.data[end:])


async def status_where(live, wanted):
    """The next status for which something holds."""
    while True:
        message = await live.receive(timeout=30)
        if message.type == aiohttp.WSMsgType.TEXT and wanted(told := json.loads(message.data)):
            return told


def test_a_viewer_gets_picture_meshes_and_figures(demo):
    seen = demo.show(detected=True)

    async def conversation(session):
        async with session.ws_connect(f"{demo.base}/live") as live:
            return await frame(live)

    head, vertices, picture = talk(conversation)
    np.testing.assert_array_equal(vertices, np.concatenate([one.vertices for one in seen.subjects]))
    drawn = Drawer(faces_of(model("hand_right")))(seen)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(picture.astype(float) - drawn).mean() < 4
    assert [one["told"] for one in head["subjects"]] == ["1 · right hand", "2 · left hand"]
    assert [one["metres"] for one in head["subjects"]] == pytest.approx([0.5, 0.6], abs=0.05)
    assert head["focal"] == {"line": seen.shot.camera.line, "from": "assumed"}
    assert head["stages"] == [
        {"stage": "network", "now": 30.0, "p50": 30.0},
        {"stage": "smooth", "now": 1.0, "p50": 1.0},
    ]
    assert (head["number"], head["mirrored"], head["detected"], head["dropped"]) == (0, False, True, 0)


def test_triangles_of_each_kind_are_there(demo):
    async def conversation(session):
        async with session.get(f"{demo.base}/faces/hand_left") as answered:
            return await answered.read()

    given = np.frombuffer(talk(conversation), "<u4").reshape(-1, 3)
    np.testing.assert_array_equal(given, faces_of(model("hand_right"))["hand_left"])
    assert answer(f"{demo.base}/faces/tail")[0] == 404


def test_who_is_not_ready_is_given_the_newest_view_later_and_none_between(demo):
    async def conversation(session):
        async with session.ws_connect(f"{demo.base}/live") as live:
            demo.show()
            numbers = [(await frame(live))[0]["number"]]
            demo.show()
            numbers.append((await frame(live))[0]["number"])
            for _ in range(20):  # nobody said `next`: none of these may travel
                demo.show()
                await asyncio.sleep(0)
            await asyncio.sleep(0.3)  # time enough to send one all the same
            await live.send_str("next")
            numbers.append((await frame(live))[0]["number"])
            return numbers

    assert talk(conversation) == [0, 1, 21]


def test_ten_viewers_at_once_and_one_that_never_answers(demo):
    async def look(session, views):
        async with session.ws_connect(f"{demo.base}/live") as live:
            numbers = []
            for _ in range(views):
                numbers.append((await frame(live))[0]["number"])
                await live.send_str("next")
            return numbers

    async def conversation(session):
        silent = await session.ws_connect(f"{demo.base}/live")
        looking = asyncio.gather(*(look(session, 5) for _ in range(10)))
        while not looking.done():
            demo.show()
            await asyncio.sleep(0.05)
        assert demo.server.viewers >= 1
        await silent.close()
        return await looking

    for numbers in talk(conversation):
        assert numbers == sorted(set(numbers))


def test_a_page_that_was_closed_is_forgotten_and_opens_again(demo):
    demo.show()

    async def conversation(session):
        heads = []
        for _ in range(2):
            async with session.ws_connect(f"{demo.base}/live") as live:
                heads.append((await frame(live))[0])
        for _ in range(100):
            if demo.server.viewers == 0:
                break
            await asyncio.sleep(0.05)
        return heads

    assert [head["number"] for head in talk(conversation)] == [0, 0]
    assert demo.server.viewers == 0


def test_viewers_are_told_what_the_source_does_while_no_picture_comes(demo):
    async def conversation(session):
        async with session.ws_connect(f"{demo.base}/live") as live:
            first = await status_where(live, lambda told: True)
            demo.trouble = "camera lost, trying again"
            return first, await status_where(live, lambda told: told["trouble"])

    first, later = talk(conversation)
    assert first == {"topic": "status", "source": "made hands", "trouble": None, "recording": False, "mirrored": False}
    assert later["trouble"] == "camera lost, trying again"


def test_buttons_do_their_work_and_errors_are_told_in_a_line(demo):
    assert answer(f"{demo.base}/do/record", "POST") == (200, '{"line": "recording: True"}')
    assert demo.recording
    status, text = answer(f"{demo.base}/do/snapshot", "POST")
    assert (status, json.loads(text)["line"]) == (409, "out/0001.jpg: the disk is full; make room and try again")
    assert answer(f"{demo.base}/do/dance", "POST")[0] == 404
    assert answer(f"{demo.base}/do/record")[0] == 405


def test_other_sites_may_neither_look_nor_press_buttons(demo):
    evil = {"Origin": "http://evil.example"}
    assert answer(f"{demo.base}/do/record", "POST", headers=evil)[0] == 403
    assert not demo.recording

    async def conversation(session):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"{demo.base}/live", headers=evil)
        async with session.ws_connect(f"{demo.base}/live", headers={"Origin": demo.base}) as live:
            await live.receive(timeout=30)
        return refused.value.status

    assert talk(conversation) == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "[", "127.0.0.1:x"])
def test_a_foreign_name_pointed_at_this_machine_is_refused(demo, host):
    assert answer(demo.base, headers={"Host": host})[0] in (400, 403)


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:1", "[::1]:9"])
def test_names_of_this_machine_and_tunnels_to_it_are_let_in(demo, host):
    assert answer(demo.base, headers={"Host": host})[0] == 200


def test_where_others_can_reach_it_the_page_asks_for_the_token(guarded):
    paths = ("/", "/live", "/faces/hand", "/static/demo.js", "/?token=", "/?token=wrong", "/?token=%FF")
    assert {answer(guarded.base + path)[0] for path in paths} == {403}
    assert answer(f"{guarded.base}/do/record", "POST")[0] == 403
    assert answer(guarded.base, headers={"Cookie": f"humanpt-{guarded.server.port}=wrong"})[0] == 403
    assert not guarded.recording
    assert guarded.server.url.endswith(f"/?token={guarded.server.token}")


def test_the_token_opens_the_page_and_is_kept_in_a_cookie_that_scripts_cannot_read(guarded):
    guarded.show()

    async def conversation(session):
        async with session.get(f"{guarded.base}/?token={guarded.server.token}", allow_redirects=False) as first:
            assert first.status == 303
            assert first.headers["Location"] == "/"
            cookie = first.headers["Set-Cookie"]
        async with session.get(guarded.base) as page:
            assert page.status == 200
            assert guarded.server.token not in await page.text()
        async with session.ws_connect(f"{guarded.base}/live") as live:
            await frame(live)
        return cookie

    cookie = talk(conversation)
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_tokens_are_random_and_loopback_needs_none(demo, guarded):
    other = Demo(host="0.0.0.0")
    other.server.close()
    assert demo.server.token is None
    assert len({other.server.token, guarded.server.token, None}) == 3
    assert len(other.server.token) >= 24


def test_addresses_that_only_this_machine_reaches_are_known():
    assert [is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.4", "a.example", "")] == [False] * 5


def test_malformed_requests_are_refused_and_life_goes_on_without_a_word(demo, capfd):
    for raw in (b"\r\n\r\n", b"GARBAGE\r\n\r\n", b"GET / HTTP/1.1\r\nHost\r\n\r\n", b"\x16\x03\x01" * 50 + b"\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", demo.server.port), timeout=30) as line:
            line.sendall(raw)
            line.shutdown(socket.SHUT_WR)
            said = b"".join(iter(lambda line=line: line.recv(4096), b""))
            assert not said or said.split()[1].startswith(b"4"), said
    for strange in (
        b"Host: \xff",
        b"Host: 127.0.0.1\r\nOrigin: \xff",
        b"Host: 127.0.0.1\r\nCookie: humanpt-%d=\xff" % demo.server.port,
    ):
        with socket.create_connection(("127.0.0.1", demo.server.port), timeout=30) as line:
            line.sendall(b"GET / HTTP/1.1\r\n" + strange + b"\r\nConnection: close\r\n\r\n")
            assert line.recv(4096).startswith(b"HTTP/1.1 400"), strange
    for path in ("/nothing", "/static/../serve.py", "/static/%2e%2e/demo.html", "/static/", "/faces/", "/do/"):
        assert 400 <= answer(demo.base + path)[0] < 500, path
    assert answer(f"{demo.base}/live")[0] == 400
    assert answer(f"{demo.base}/", "POST", data=b"x" * 100_000)[0] == 405
    demo.show()

    async def conversation(session):
        async with session.ws_connect(f"{demo.base}/live") as live:
            for nonsense in ("", "nexT", '{"do": "record"}', "é" * 900):
                await live.send_str(nonsense)
            await live.send_bytes(b"\x00\xff" * 100)
            first = await frame(live)
        async with session.ws_connect(f"{demo.base}/live") as live:
            await live.send_str("x" * 10_000)
            while (message := await live.receive(timeout=30)).type in (1, 2):  # text, binary
                pass
            assert message.type == aiohttp.WSMsgType.CLOSE
            assert message.data == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        return first[0]["number"]

    assert talk(conversation) == 0
    assert not demo.recording
    assert capfd.readouterr().err == ""


def test_numbers_that_json_cannot_hold_are_left_out(demo):
    hand = subject(1, "hand_right", (0.0, 0.0, 0.5), score=float("nan"))
    hand.keypoints[:] = np.nan
    seen = view(hand)
    demo.server.show(seen, seen.shot.picture)

    async def conversation(session):
        async with session.ws_connect(f"{demo.base}/live") as live:
            return (await frame(live))[0]["subjects"][0]

    told = talk(conversation)
    assert (told["score"], told["metres"]) == (None, None)


def test_what_the_page_fails_of_comes_out_of_show(demo, monkeypatch):
    def fail(*_):
        raise ValueError("a picture that cannot be encoded")

    monkeypatch.setattr("humanpt.live.serve.message_of", fail)

    async def conversation(session):
        async with session.ws_connect(f"{demo.base}/live") as live:
            demo.show()
            while (await live.receive(timeout=30)).type != aiohttp.WSMsgType.CLOSE:
                pass

    talk(conversation)
    with pytest.raises(ValueError, match="a picture that cannot be encoded"):
        demo.show()


def test_a_port_in_use_is_told_in_one_line(demo):
    with pytest.raises(OutputError, match=f"^127.0.0.1:{demo.server.port}: .*in use.*name another port"):
        PageServer(faces={}, controls=Controls({}, demo.status), port=demo.server.port)
    with pytest.raises(OutputError, match=r"^203\.0\.113\.7:0: .*an address of this machine by --host"):
        PageServer(faces={}, controls=Controls({}, demo.status), host="203.0.113.7", port=0)


def test_a_page_that_cannot_begin_says_so(demo, monkeypatch, tmp_path):
    monkeypatch.setattr(serve, "PAGES", tmp_path)
    with pytest.raises(ValueError, match="static"):
        PageServer(faces={}, controls=Controls({}, demo.status), port=0)


def test_after_the_end_the_port_is_free_and_viewers_were_told():
    demo = Demo()

    async def conversation(session):
        async with session.ws_connect(f"{demo.base}/live") as live:
            await live.receive(timeout=30)
            threading.Thread(target=demo.server.close).start()
            while (message := await live.receive(timeout=30)).type in (1, 2):  # text, binary
                pass
            return message.data

    assert talk(conversation) == aiohttp.WSCloseCode.GOING_AWAY
    demo.server.close()
    demo.show()  # harmless
    with socket.create_server(("127.0.0.1", demo.server.port)):
        pass


def test_the_loop_shows_on_the_page_and_closes_it():
    demo = Demo()
    looking = threading.Event()

    def pipeline(shot):
        assert looking.wait(60)
        return replace(view(*hands(), number=shot.number), shot=replace(shot, picture=view().shot.picture))

    async def conversation(session):
        async with session.ws_connect(f"{demo.base}/live") as live:
            looking.set()
            numbers = []
            while not numbers or numbers[-1] < 4:
                numbers.append((await frame(live))[0]["number"])
                await live.send_str("next")
            released.set()
            while (await live.receive(timeout=30)).type in (1, 2):  # text, binary
                pass
            return numbers

    released = threading.Event()

    def before(number):
        if number == 5:
            assert released.wait(60)

    loop = Loop(MadeSource(5, before), pipeline, demo.drawer, [demo.server], drop=False)
    running = threading.Thread(target=loop.run)
    running.start()
    numbers = talk(conversation)
    running.join(60)
    assert not running.is_alive()
    assert numbers[-1] == 4
    assert loop.summary().shown == 5
    assert not demo.server._thread.is_alive()


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to open the page in")
LOOKING = "Number(document.body.dataset.pictures) > 0"


def shades(picture):
    """How many different colours there are."""
    return len(np.unique(picture.reshape(-1, 3) // 8, axis=0))


@pytest.mark.slow
@needs_chromium
def test_the_page_shows_everything_in_a_browser(demo, tmp_path):
    stop = threading.Event()

    def run():
        while not stop.wait(0.2):
            demo.show()

    showing = threading.Thread(target=run)
    showing.start()
    try:
        with browser(tmp_path) as page:
            page.look()
            page.open(demo.server.url)
            page.until(LOOKING)
            page.until("document.querySelector('#scene').dataset.meshes === '2'")
            for canvas in ("#picture", "#scene"):
                assert shades(page.screenshot(of=canvas)) > 40, canvas
            assert page.value("document.querySelector('#focal').textContent").startswith("focal length 320 px, assumed")
            assert page.value("[...document.querySelectorAll('#stages li')].length") == 2
            assert "1 · right hand" in page.value("document.querySelector('#subjects').textContent")

            for action, told in (("record", "true"), ("mirror", "true"), ("record", "false")):
                page.value(f"document.querySelector('[data-action={action}]').click()")
                page.until(
                    f"document.querySelector('[data-action={action}]').getAttribute('aria-pressed') === '{told}'"
                )
            assert (demo.recording, demo.drawer.mirrored) == (False, True)
            page.value("document.querySelector('[data-action=snapshot]').click()")
            page.until("document.querySelector('#said').textContent.includes('the disk is full')")
            demo.trouble = "camera lost, trying again"
            page.until("document.querySelector('#trouble').textContent === 'camera lost, trying again'")

            page.look(dark=True, width=390, height=844)
            page.open(demo.server.url)  # closed and opened again
            page.until(LOOKING)
            assert page.value("document.documentElement.scrollWidth") <= 390
            assert page.screenshot()[-3:, :3].mean() < 60

            stop.set()
            showing.join()
            demo.server.close()
            page.until("document.querySelector('#trouble').textContent.startsWith('no connection')")
    finally:
        stop.set()
        showing.join()
