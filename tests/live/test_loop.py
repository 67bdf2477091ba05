"""Capture, inference and drawing at once: what is dropped and how it all ends. Events make the order, not the clock."""

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from humanpt.live.capture import open_video
from humanpt.live.latency import Latencies
from humanpt.live.loop import Loop
from humanpt.live.shot import View
from humanpt.live.slot import Slot
from tests.clips import write_clip
from tests.live.made import Kept, MadeSource, nobody

LONG = 60  # seconds after which a test that hangs fails


def waiting(event):
    assert event.wait(LONG)


def nobody_runs():
    """Whether all threads of loops have ended."""
    return not {"capture", "inference"} & {thread.name for thread in threading.enumerate()}


def test_a_slow_pipeline_gets_the_newest_picture_and_the_rest_is_dropped():
    all_given, first_is_in = threading.Event(), threading.Event()

    def before(number):
        if number == 1:
            waiting(first_is_in)
        if number == 10:
            all_given.set()

    looked_at = []

    def slow(shot):
        looked_at.append(shot.number)
        first_is_in.set()
        waiting(all_given)
        return nobody(shot)

    kept = Kept()
    summary = Loop(MadeSource(10, before), slow, None, [kept], drop=True).run()
    assert looked_at == [0, 9]
    assert kept.numbers[-1] == 9
    assert kept.views[-1].dropped == summary.dropped == 8
    assert (summary.captured, summary.looked_at, summary.shown) == (10, 2, len(kept.numbers))
    assert summary.stopped_by == "end"
    assert nobody_runs()


def test_slow_drawing_never_keeps_the_pipeline_waiting():
    looked_at = [threading.Event() for _ in range(10)]
    first_is_drawn = threading.Event()

    def before(number):  # each picture comes after the one before was looked at, so none of them is dropped
        if number:
            waiting(looked_at[number - 1])
        if number == 1:
            waiting(first_is_drawn)

    def pipeline(shot):
        looked_at[shot.number].set()
        return nobody(shot)

    def draw(view):
        first_is_drawn.set()
        waiting(looked_at[9])
        return view.shot.picture

    kept = Kept()
    summary = Loop(MadeSource(10, before), pipeline, draw, [kept], drop=True).run()
    assert (summary.looked_at, summary.dropped) == (10, 0)
    assert kept.numbers[0] == 0
    assert kept.numbers[-1] == 9
    assert summary.shown <= 3  # the first, perhaps the one before the last, and the last


def test_without_dropping_every_frame_is_shown_in_order():
    kept = Kept()
    ahead = []

    def before(number):
        ahead.append(number - len(kept.numbers))

    summary = Loop(MadeSource(200, before), nobody, lambda view: view.shot.picture, [kept], drop=False).run()
    assert kept.numbers == list(range(200))
    assert (summary.captured, summary.looked_at, summary.shown, summary.dropped) == (200, 200, 200, 0)
    assert max(ahead) <= 6  # one in each of three hands, one in each of two slots between them, one to come


def test_a_minute_of_nobody_is_shown_like_anything_else():
    kept = Kept()
    summary = Loop(MadeSource(1800), nobody, None, [kept], drop=False).run()
    assert summary.shown == 1800
    assert all(view.subjects == () for view in kept.views)
    assert "detect" not in summary.stages


def test_views_reach_the_sinks_with_their_latencies():
    def pipeline(shot):
        return View(
            shot=shot, subjects=(), seconds={"detect": 3.0, "network": 5.0} if shot.number else {"network": 5.0}
        )

    drawn_from = []

    def draw(view):
        drawn_from.append(view)
        return view.shot.picture + 1

    kept = Kept()
    summary = Loop(MadeSource(4), pipeline, draw, [kept], drop=False).run()
    first, last = kept.views[0].seconds, kept.views[-1].seconds
    assert set(first) == {"capture", "network", "draw", "total"}
    assert set(last) == {"capture", "detect", "network", "draw", "total", "encode"}
    assert (last["capture"], last["detect"], last["network"]) == (0.25, 3.0, 5.0)
    assert set(drawn_from[0].seconds) == {"capture", "network"}
    assert drawn_from[1].seconds["draw"] == first["draw"]  # of the frame before
    assert [drawn[0, 0, 0] for drawn in kept.drawn] == [1, 2, 3, 4]
    assert summary.stages["detect"].count == 3
    assert summary.stages["encode"].count == summary.stages["total"].count == 4
    assert summary.stages["network"].p50 == summary.stages["network"].p95 == 5.0


class Trouble(Exception):
    pass


def fail(*_):
    raise Trouble("here")


class FailingSink(Kept):
    def show(self, view, drawn):
        fail()


class FailingClose(Kept):
    def close(self):
        super().close()
        fail()


@pytest.mark.parametrize("drop", [True, False])
@pytest.mark.parametrize("where", ["source", "pipeline", "draw", "show", "close"])
def test_an_error_anywhere_ends_all_threads_and_comes_out(where, drop):
    source = MadeSource(1000, before=lambda number: fail() if where == "source" and number == 3 else None)
    sinks = [Kept(), {"show": FailingSink, "close": FailingClose}.get(where, Kept)(), Kept()]
    loop = Loop(source, fail if where == "pipeline" else nobody, fail if where == "draw" else None, sinks, drop=drop)
    with pytest.raises(Trouble, match="here"):
        loop.run()
    assert [sink.closed for sink in sinks] == [1, 1, 1]
    assert source.closed
    assert source.released
    assert nobody_runs()


def test_the_first_of_several_errors_comes_out():
    class Worse(FailingClose):
        def close(self):
            raise ValueError("while closing")

    with pytest.raises(Trouble):
        Loop(MadeSource(3), fail, None, [Worse()], drop=False).run()


@pytest.mark.parametrize("drop", [True, False])
def test_a_viewer_may_stop_the_loop(drop):
    class Stopping(Kept):
        def show(self, view, drawn):
            super().show(view, drawn)
            if len(self.numbers) == 3:
                loop.stop()

    sink = Stopping()
    source = MadeSource(10**9)
    loop = Loop(source, nobody, None, [sink], drop=drop)
    summary = loop.run()
    assert (summary.stopped_by, summary.shown, len(sink.numbers)) == ("stop", 3, 3)
    assert sink.closed == 1
    assert source.released
    assert nobody_runs()


def test_another_thread_may_stop_a_loop_that_waits_for_its_camera():
    waits = threading.Event()

    def before(number):
        if number == 2:
            waits.set()
            source.closed_event().wait(LONG)

    source = MadeSource(5, before)
    loop = Loop(source, nobody, None, [kept := Kept()], drop=True)
    stopper = threading.Thread(target=lambda: (waits.wait(LONG), loop.stop()))
    stopper.start()
    summary = loop.run()
    stopper.join(LONG)
    assert summary.stopped_by == "stop"
    assert set(kept.numbers) <= {0, 1}


def test_who_watches_hears_what_the_source_waits_for():
    heard, status = threading.Event(), []

    class Page(Kept):
        def wait(self, what):
            status.append(what)
            heard.set()

    def before(number):
        if number == 1:
            source.status = "camera 0: no picture; trying again"
            waiting(heard)

    source = MadeSource(2, before)
    Loop(source, nobody, None, [Page(), Kept()], drop=True).run()
    assert status[0] == "camera 0: no picture; trying again"


@pytest.mark.parametrize("drop", [True, False])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_loop_and_closes_what_shows_and_writes(number, drop):
    class Interrupting(Kept):
        def show(self, view, drawn):
            super().show(view, drawn)
            if len(self.numbers) == 3:
                os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    source, sinks = MadeSource(10**9), [Interrupting(), Kept()]
    summary = Loop(source, nobody, None, sinks, drop=drop).run()
    assert summary.stopped_by == number.name
    assert summary.shown == len(sinks[1].numbers) == 3
    assert [sink.closed for sink in sinks] == [1, 1]
    assert source.released
    assert signal.getsignal(number) is before
    assert nobody_runs()


def test_a_second_ctrl_c_does_not_wait_for_a_pipeline_that_hangs():
    hang = threading.Event()
    source, sink = MadeSource(10**9), Kept()
    hanging = []

    def pipeline(shot):
        hanging.append(threading.current_thread())
        os.kill(os.getpid(), signal.SIGINT)
        source.closed_event().wait(LONG)  # the first one has been heard
        os.kill(os.getpid(), signal.SIGINT)
        hang.wait(LONG)
        return nobody(shot)

    with pytest.raises(KeyboardInterrupt):
        Loop(source, pipeline, None, [sink], drop=True).run()
    assert sink.closed == 1
    hang.set()
    hanging[0].join(LONG)
    assert len(hanging) == 1


def resident():
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells the memory held just now")
def test_memory_stays_level_over_10_000_frames_of_a_looped_clip(tmp_path):
    held = {}

    class Counting:
        def show(self, view, drawn):
            if view.shot.number in (2_000, 10_000):
                held[view.shot.number] = resident()
            if view.shot.number == 10_000:
                loop.stop()

        def close(self):
            pass

    clip = write_clip(tmp_path / "clip.mp4", range(100), size=(320, 240))
    loop = Loop(open_video(clip, loop=True), nobody, None, [Counting()], drop=False)
    assert loop.run().shown == 10_001
    assert held[10_000] - held[2_000] < 8 * 2**20, held


def test_a_slot_that_drops_holds_the_newest():
    slot = Slot(drop=True)
    assert [slot.put(number) for number in range(3)] == [True] * 3
    assert (slot.take(), slot.dropped) == (2, 2)
    assert slot.take(0.0) is None
    assert not slot.over
    slot.put(3)
    slot.finish()
    assert not slot.put(4)
    assert (slot.over, slot.take(), slot.over, slot.take()) == (False, 3, True, None)


def test_a_slot_that_waits_gives_everything_and_is_let_go_when_it_closes():
    slot, put = Slot(drop=False), []
    giver = threading.Thread(target=lambda: put.extend(slot.put(number) for number in range(3)))
    giver.start()
    assert [slot.take(LONG), slot.take(LONG)] == [0, 1]
    while not slot.over:  # whether or not 2 lies there yet
        slot.close()
    giver.join(LONG)
    assert put[:2] == [True, True]
    assert len(put) == 3
    assert slot.take() is None


def test_latencies_are_those_of_the_newest_frames():
    latencies = Latencies(newest=100)
    for number in range(300):
        latencies.add({"network": float(number), **({"detect": 1.0} if number % 2 else {})})
    spreads = latencies.spreads()
    newest = np.arange(200, 300)
    assert list(spreads) == ["network", "detect"]
    assert (spreads["network"].p50, spreads["network"].p95) == tuple(np.percentile(newest, [50, 95]))
    assert (spreads["network"].mean, spreads["network"].count) == (newest.mean(), 100)
    assert spreads["detect"].count == 100
