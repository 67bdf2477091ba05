"""Recordings: whole files at the end, and readable ones whatever happens before."""

import os
import resource
import shutil
import signal
import threading
import traceback
import warnings
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from humanpt.body.model import load_body_model
from humanpt.data.mocap.bvh import play_bvh
from humanpt.errors import InputError, OutputError
from humanpt.live.people_file import about_model
from humanpt.live.people_spool import read_people
from humanpt.live.recorder import RecordConfig, Recorder, finish_recording, save_snapshot
from tests.body.glb import Glb
from tests.body.licensed_files import made, write_npz
from tests.live.moving import about_hands, model_of, subject, two_hands, view

Y_UP = np.array([1, -1, -1])


class Notes:
    """A report that keeps what it is told."""

    def __init__(self):
        self.lines = []

    def stage(self, name, total, unit):
        pass

    def advance(self, amount=1, **figures):
        pass

    def note(self, text):
        self.lines.append(text)


def record(folder, views, notes=None, about=None, **wanted):
    recorder = Recorder(folder, about or about_hands(), RecordConfig(**wanted), notes)
    for one in views:
        recorder.show(one, one.shot.picture)
    recorder.close()
    return recorder


def film(path, at=(60, 80)):
    """Times, sizes and the brightness of one pixel of the pictures."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    middles = [int(frame.to_ndarray(format="rgb24")[at].mean()) for frame in frames]
    return [float(frame.pts * frame.time_base) for frame in frames], {(f.width, f.height) for f in frames}, middles


def test_a_recording_is_whole_files_and_nothing_else(tmp_path):
    notes = Notes()
    recorder = record(tmp_path / "out", two_hands(6), notes, vertices=True, obj=True)
    names = ["animation.glb", "motion", "obj", "overlay.mp4", "people.npz"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert sorted(recorder.files) == names
    assert all(path.exists() for path in recorder.files.values())
    assert sorted(path.name for path in (tmp_path / "out/motion").iterdir()) == ["hand_left_2.bvh", "hand_right_1.bvh"]
    assert notes.lines == []
    assert recorder.trouble is None
    assert recorder.frames == 6


def test_the_film_keeps_the_times_of_the_pictures(tmp_path):
    times = [0.0, 0.04, 0.11, 0.5, 0.52, 3.0]
    record(tmp_path, [view(number, [], timestamp=at) for number, at in enumerate(times)], animation=False)
    shown, sizes, middles = film(tmp_path / "overlay.mp4")
    np.testing.assert_allclose(shown, times, atol=1e-4)
    assert sizes == {(160, 120)}
    np.testing.assert_allclose(middles, [20 + 5 * number for number in range(6)], atol=3)


def test_a_recording_that_begins_late_begins_at_its_first_picture(tmp_path):
    hands = two_hands(4)
    views = [view(90 + place, one.subjects, timestamp=100 + place / 10) for place, one in enumerate(hands)]
    record(tmp_path, views)
    np.testing.assert_allclose(film(tmp_path / "overlay.mp4")[0], [0, 0.1, 0.2, 0.3], atol=1e-4)
    np.testing.assert_allclose(read_people(tmp_path).timestamp, [100, 100.1, 100.2, 100.3])
    glb = Glb(tmp_path / "animation.glb")
    times = glb.array(glb.animation("hand_right_1")["samplers"][0]["input"])
    np.testing.assert_allclose(times, [0, 0.1, 0.2, 0.3], atol=1e-6)


def test_times_that_do_not_rise_make_a_film_nevertheless(tmp_path):
    record(tmp_path, [view(number, [], timestamp=at) for number, at in enumerate([0.0, 0.2, 0.2, 0.1, 0.4])])
    shown, _, _ = film(tmp_path / "overlay.mp4")
    assert len(shown) == 5
    assert (np.diff(shown) > 0).all()


def test_pictures_of_odd_and_changing_sizes_fit_into_one_film(tmp_path):
    sizes = [(161, 121), (161, 121), (320, 120), (20, 200)]
    record(tmp_path, [view(number, [], size=size) for number, size in enumerate(sizes)])
    _, shown, middles = film(tmp_path / "overlay.mp4")
    assert shown == {(162, 122)}
    np.testing.assert_allclose(middles, [20, 25, 30, 35], atol=3)
    assert read_people(tmp_path).image_size.tolist() == [list(size) for size in sizes]


def test_the_animation_shows_everybody_where_the_pictures_did(tmp_path):
    views = two_hands(7)
    record(tmp_path, views)
    glb = Glb(tmp_path / "animation.glb")
    for name, identity in (("hand_right_1", 1), ("hand_left_2", 2)):
        found = [one for shown in views for one in shown.subjects if one.identity == identity]
        for key in (0, 3):
            np.testing.assert_allclose(glb.posed(name, key), found[key].vertices * Y_UP, atol=5e-6)


def test_somebody_has_one_size_in_an_animation_the_median(tmp_path):
    shapes = [[0.5, 2 / 3, 0.5, 0.5, value, 0.5] for value in (0.3, 0.4, 0.9)]
    views = [view(number, [subject("hand_right", 1, number / 25, shape=one)]) for number, one in enumerate(shapes)]
    record(tmp_path, views)
    middle = subject("hand_right", 1, 2 / 25, shape=shapes[1])
    np.testing.assert_allclose(
        Glb(tmp_path / "animation.glb").posed("hand_right_1", 2), middle.vertices * Y_UP, atol=5e-6
    )


def test_bones_in_bvh_files_turn_as_people_npz_says(tmp_path):
    record(tmp_path, two_hands(5))
    people = read_people(tmp_path)
    right = people.tracks()[0]
    played = play_bvh(tmp_path, (tmp_path / "motion/hand_right_1.bvh").read_text())
    order = [played.joint_names.index(name) for name in people.about.joint_names]
    flip = np.diag(Y_UP)
    turned = flip @ played.rotations[:, order] @ flip
    for joint, parent in enumerate(people.about.parents):
        local = turned[:, joint] if parent < 0 else turned[:, parent].transpose(0, 2, 1) @ turned[:, joint]
        np.testing.assert_allclose(local, people.rotations[right.seen, joint], atol=1e-6)
    np.testing.assert_allclose(played.root @ flip, people.transl[right.seen], atol=1e-6)
    assert played.rate == pytest.approx(25)


def test_meshes_are_written_upright_with_their_outside_outside(tmp_path):
    views = two_hands(2)
    record(tmp_path, views, obj=True)
    assert len(list((tmp_path / "obj").iterdir())) == 3
    for one in views[1].subjects:
        text = (tmp_path / f"obj/000001_{one.kind}_{one.identity}.obj").read_text()
        lines = [line.split() for line in text.splitlines()]
        points = np.array([line[1:] for line in lines if line[0] == "v"], float)
        faces = np.array([line[1:] for line in lines if line[0] == "f"], int) - 1
        np.testing.assert_allclose(points, one.vertices * Y_UP, atol=1e-6)
        assert faces.shape == (3196, 3)
        assert np.linalg.det(points[faces] - points.mean(0)).sum() > 0  # volume, positive by the right-hand rule
    assert "assumed" in (tmp_path / "obj/000001_hand_left_2.obj").read_text().splitlines()[0]


def test_points_without_parameters_are_kept_and_the_missing_files_explained(tmp_path):
    notes = Notes()
    recorder = record(tmp_path, two_hands(3, free=True), notes, vertices=True, obj=True)
    assert sorted(recorder.files) == ["obj", "overlay.mp4", "people.npz"]
    (line,) = notes.lines
    assert "no animation.glb" in line
    people = read_people(tmp_path)
    np.testing.assert_array_equal(people.faces, model_of("anny-hand", side="right").faces.numpy())
    assert people.vertices.shape[1:] == (1609, 3)


@pytest.mark.parametrize("kind", ["hand_right", "hand_left"])
def test_of_a_licensed_model_bones_are_written_but_no_mesh(tmp_path, monkeypatch, kind):
    pytest.importorskip("smplx")
    arrays = made("mano", model_of("anny-hand", side="right"))
    write_npz(tmp_path / "files/mano/MANO_RIGHT.npz", arrays)
    monkeypatch.setenv("HUMANPT_BODY_MODELS", str(tmp_path / "files"))
    layout = load_body_model("mano").layout
    subjects = [subject(kind, 4, number / 25, model="mano") for number in range(4)]
    notes = Notes()
    views = [view(number, [one]) for number, one in enumerate(subjects)]
    recorder = record(tmp_path / "out", views, notes, about_model(layout))
    assert sorted(recorder.files) == ["motion", "overlay.mp4", "people.npz"]
    assert "may not be passed on" in notes.lines[0]
    path = tmp_path / f"out/motion/{kind}_4.bvh"
    played = play_bvh(path, path.read_text())
    found = played.root[2].copy()  # then along the tree to the tip of the thumb
    chain = [played.joint_names.index("thumb3")]
    while played.parents[chain[0]] >= 0:
        chain.insert(0, played.parents[chain[0]])
    for above, joint in pairwise(chain):
        found += played.rotations[2, above] @ played.offsets[joint]
    one = subjects[2]
    with torch.no_grad():
        model = load_body_model("mano", side="left" if kind == "hand_left" else "right")
        numbers = (torch.from_numpy(values)[None] for values in (one.shape, one.pose, one.transl))
        joints = model(*numbers).joints[0].numpy()
    np.testing.assert_allclose(found, joints[layout.joint_names.index("thumb3")] * Y_UP, atol=2e-6)


def test_nobody_in_view_is_a_recording(tmp_path):
    notes = Notes()
    recorder = record(tmp_path, [view(number, []) for number in range(3)], notes)
    assert sorted(recorder.files) == ["overlay.mp4", "people.npz"]
    assert notes.lines == []


def test_no_picture_at_all_leaves_nothing_in_the_way_of_the_next_recording(tmp_path):
    recorder = record(tmp_path / "out", [], obj=True)
    assert (recorder.files, recorder.trouble) == ({}, None)
    assert not (tmp_path / "out").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    record(tmp_path / "mine", [])
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("pictures", [0, 1, 2])
def test_whatever_a_killed_program_left_can_be_finished(tmp_path, pictures):
    recorder = Recorder(tmp_path / "out", about_hands())
    for one in two_hands(pictures):
        recorder.show(one, one.shot.picture)
    left = shutil.copytree(tmp_path / "out", tmp_path / "left")
    recorder.close()
    files = finish_recording(left)
    assert len(read_people(left).frame_number) == pictures
    assert ("overlay.mp4" in files) == (pictures > 1)
    if pictures > 1:
        assert len(film(left / "overlay.mp4")[0]) == pictures - 1  # a film's last picture comes with the next one


def test_a_recording_is_not_written_over(tmp_path):
    record(tmp_path, two_hands(1))
    before = (tmp_path / "people.npz").read_bytes()
    with pytest.raises(OutputError, match="there is a recording already"):
        Recorder(tmp_path, about_hands())
    assert (tmp_path / "people.npz").read_bytes() == before


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file.*cannot be written"):
        Recorder(tmp_path / "file" / "out", about_hands())


def test_after_closing_nothing_more_is_recorded_and_a_second_time_does_no_harm(tmp_path):
    recorder = record(tmp_path, two_hands(2))
    (extra,) = [view(2, [])]
    recorder.show(extra, extra.shot.picture)
    assert recorder.close() == recorder.files
    assert len(read_people(tmp_path).frame_number) == 2


def test_one_thread_closes_while_another_shows(tmp_path):
    recorder = Recorder(tmp_path, about_hands(), RecordConfig(animation=False))
    one = view(0, [subject("hand_right", 1, 0.0)])
    begun, errors = threading.Event(), []

    def show():
        try:
            for _ in range(200):
                recorder.show(one, one.shot.picture)
                begun.set()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=show)
    thread.start()
    begun.wait(10)
    recorder.close()
    thread.join()
    assert errors == []
    assert len(read_people(tmp_path).frame_number) == recorder.frames == len(film(tmp_path / "overlay.mp4")[0])


class Fork:
    """A copy of this process that runs a function, which may say lines to this one."""

    def __init__(self, run):
        back, out = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # forks of a process with threads; these are asleep
            self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(back)
                with os.fdopen(out, "w", buffering=1) as say:
                    run(lambda line: say.write(f"{line}\n"))
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(out)
        self.lines = os.fdopen(back)

    def signal(self, number):
        os.kill(self.pid, number)

    def end(self):
        """What it still said; it must have ended well unless it was killed."""
        rest = self.lines.read().splitlines()
        self.lines.close()
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        assert status in (0, -signal.SIGKILL)
        return rest


def resident():
    """Bytes of memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def record_forever(folder, say, **wanted):
    """Show one hand after the other and say their numbers, until an interrupt."""
    recorder = Recorder(folder, about_hands(), RecordConfig(**wanted))
    try:
        for number in range(10**6):
            one = view(number, [subject("hand_right", 1, number / 25)])
            recorder.show(one, one.shot.picture)
            say(number)
    except KeyboardInterrupt:
        recorder.close()


def test_a_killed_program_leaves_all_but_the_last_moment_and_it_can_be_finished(tmp_path):
    fork = Fork(lambda say: record_forever(tmp_path, say, vertices=True))
    next(line for line in fork.lines if line == "12\n")
    fork.signal(signal.SIGKILL)
    fork.end()
    people = read_people(tmp_path)
    frames = len(people.frame_number)
    assert len(people.vertices) == frames >= 13
    assert len(film(tmp_path / "unfinished/overlay.mp4")[0]) >= 12
    files = finish_recording(tmp_path)
    assert sorted(files) == ["animation.glb", "motion", "overlay.mp4", "people.npz"]
    assert len(read_people(tmp_path / "people.npz").frame_number) == frames
    assert not (tmp_path / "unfinished").exists()
    with pytest.raises(InputError, match="no unfinished recording"):
        finish_recording(tmp_path)


def test_an_interrupt_in_the_middle_leaves_whole_files(tmp_path):
    fork = Fork(lambda say: record_forever(tmp_path, say))
    next(line for line in fork.lines if line == "5\n")
    fork.signal(signal.SIGINT)
    said = fork.end()
    assert abs(len(read_people(tmp_path / "people.npz").frame_number) - 6 - len(said)) <= 1
    assert not (tmp_path / "unfinished").exists()


@pytest.mark.parametrize("what_fills_it", ["numbers", "film"])
def test_a_full_disk_ends_the_recording_and_not_the_program(tmp_path, what_fills_it):
    """No file may grow beyond a limit, which stops the columns of numbers in one case and the film in the other."""
    random = np.random.default_rng(0)

    def run(say):
        notes = Notes()
        recorder = Recorder(tmp_path, about_hands(), RecordConfig(vertices=what_fills_it == "numbers"), notes)
        views = [view(number, [subject("hand_right", 1, number / 25)]) for number in range(40)]
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        for one in views:
            recorder.show(one, random.integers(0, 256, (120, 160, 3), dtype=np.uint8))
        recorder.close()
        assert all(line.partition(";")[0] in recorder.trouble for line in notes.lines)
        say(recorder.frames)
        for line in notes.lines:
            say(line)

    frames, *lines = Fork(run).end()
    frames = int(frames)
    assert 0 < frames < 40
    assert f"recording stopped after {frames} pictures (File too large)" in lines[0]
    people = read_people(tmp_path)
    assert frames <= len(people.frame_number) <= frames + 1
    if what_fills_it == "numbers":  # no room for whole files either, but there will be
        assert len(lines) == 2
        assert "stays readable" in lines[1]
        finish_recording(tmp_path)
    else:
        assert len(lines) == 1
    assert frames - 1 <= len(film(tmp_path / "overlay.mp4")[0]) <= frames
    names = ["animation.glb", "motion", "overlay.mp4", "people.npz"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert len(read_people(tmp_path / "people.npz").frame_number) == len(people.frame_number)


@pytest.mark.slow
def test_memory_stays_level_over_ten_thousand_pictures(tmp_path):
    hand = subject("hand_right", 1, 0.0)

    def run(say):
        recorder = Recorder(tmp_path, about_hands())
        for number in range(10_000):
            one = view(number, [hand])
            recorder.show(one, one.shot.picture)
            if number in (1000, 9_999):
                say(resident())
        recorder.close()

    early, late = map(int, Fork(run).end())
    assert late - early < 20_000_000
    assert len(read_people(tmp_path).frame_number) == 10_000


def test_a_snapshot_is_a_picture_its_numbers_and_its_meshes(tmp_path):
    (one,) = two_hands(2)[1:]
    files = save_snapshot(tmp_path / "shots", one, one.shot.picture, about_hands())
    stem = "snapshot-000001"
    assert sorted(files) == [
        f"{stem}-hand_left_2.obj",
        f"{stem}-hand_right_1.obj",
        f"{stem}.npz",
        f"{stem}.png",
    ]
    people = read_people(files[f"{stem}.npz"])
    np.testing.assert_array_equal(people.vertices[1], one.subjects[1].vertices)
    assert len(people.faces)
