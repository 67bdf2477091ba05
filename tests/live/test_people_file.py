"""people.npz: what was written is read, other software reads it, and what does not fit is refused in one line."""

import dataclasses
import json

import numpy as np
import pytest

from humanpt.errors import InputError
from humanpt.live.people_file import COLUMNS, FORMAT, ROW_COLUMNS, write_people
from humanpt.live.people_spool import PeopleSpool, read_people, read_spool
from tests.live.moving import about_hands, model_of, subject, two_hands, view


def spooled(folder, views, *, vertices=True, **told):
    spool = PeopleSpool(folder, about_hands(**told), vertices=vertices)
    for one in views:
        spool.add(one)
    spool.close()
    return read_spool(folder)


def same(people, others):
    for name in COLUMNS:
        first, second = getattr(people, name), getattr(others, name)
        assert (first is None) == (second is None), name
        if first is not None:
            np.testing.assert_array_equal(first, second, err_msg=name)
            assert first.dtype == second.dtype or name == "picture"
    return people.about == others.about


def test_what_was_written_is_read(tmp_path):
    people = spooled(tmp_path / "s", two_hands(4), ledger={"sets": [{"name": "generated", "licence": "CC0"}]})
    faces = model_of("anny-hand", side="right").faces.numpy().astype(np.int32)
    people = dataclasses.replace(people, faces=faces)
    write_people(tmp_path / "people.npz", people)
    assert same(read_people(tmp_path / "people.npz"), people)


def test_every_row_says_what_its_view_said(tmp_path):
    views = two_hands(4)
    people = spooled(tmp_path / "s", views)
    subjects = [(place, one) for place, shown in enumerate(views) for one in shown.subjects]
    assert len(people.frame) == len(subjects)
    for row, (place, one) in enumerate(subjects):
        assert (people.frame[row], people.identity[row], people.kind[row]) == (place, one.identity, one.kind)
        assert people.score[row] == np.float32(one.score)
        assert not people.mask[row]
        for name in ("box", "keypoints", "pixels", "shape", "transl", "vertices"):
            np.testing.assert_array_equal(getattr(people, name)[row], getattr(one, name))
        np.testing.assert_array_equal(people.rotations[row], one.pose)
    np.testing.assert_array_equal(people.timestamp, [0, 0.04, 0.08, 0.12])
    np.testing.assert_array_equal(people.image_size, [[160, 120]] * 4)
    np.testing.assert_array_equal(people.intrinsics[2], views[2].shot.camera.intrinsics)
    assert set(people.focal_from) == {"assumed"}


def test_the_parameters_give_the_points_again(tmp_path):
    import torch

    people = spooled(tmp_path / "s", two_hands(4))
    for row in range(len(people.frame)):
        model = model_of("anny-hand", side="left" if people.kind[row] == "hand_left" else "right")
        numbers = (torch.from_numpy(array[row : row + 1].copy()) for array in (people.shape, people.rotations))
        shape, pose = numbers
        with torch.no_grad():
            mesh = model(shape, pose, torch.from_numpy(people.transl[row : row + 1].copy()))
        np.testing.assert_allclose(mesh.vertices[0].numpy(), people.vertices[row], atol=1e-6)
        np.testing.assert_allclose(mesh.keypoints[0].numpy(), people.keypoints[row], atol=1e-6)


def test_plain_numpy_reads_every_array_without_pickles(tmp_path):
    write_people(tmp_path / "people.npz", spooled(tmp_path / "s", two_hands(2), vertices=False))
    with np.load(tmp_path / "people.npz", allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    assert str(arrays.pop("format")) == FORMAT
    about = json.loads(str(arrays.pop("about")))
    assert (about["model"], about["rig"], about["network"]) == ("anny-hand", "anny-hand.R", "a trial")
    assert about["pose_parameterization"] == "local-ref"
    assert set(arrays) == set(COLUMNS) - {"vertices", "faces"}


def test_pictures_without_anybody_keep_their_place(tmp_path):
    hand = subject("hand_right", 1, 0.0)
    people = spooled(tmp_path / "s", [view(0, []), view(7, [hand]), view(9, [])])
    assert people.frame_number.tolist() == [0, 7, 9]
    assert people.frame.tolist() == [1]
    (track,) = people.tracks()
    assert track.mask.tolist() == [True, False, True]


def test_nobody_at_all_is_a_file_too(tmp_path):
    people = spooled(tmp_path / "s", [view(0, []), view(1, [])])
    write_people(tmp_path / "people.npz", people)
    read = read_people(tmp_path / "people.npz")
    assert len(read.frame_number) == 2
    assert read.keypoints.shape == (0, 21, 3)
    assert read.tracks() == []


def test_points_without_parameters_are_told(tmp_path):
    people = spooled(tmp_path / "s", two_hands(2, free=True))
    write_people(tmp_path / "people.npz", people)
    read = read_people(tmp_path / "people.npz")
    assert read.rotations is None
    assert len(read.keypoints) == len(read.vertices) == 3
    with pytest.raises(ValueError, match="without a body model"):
        _ = read.parameters


def test_names_of_pictures_survive(tmp_path):
    names = ["плечо.jpg", "a\nb.png", "", "x" * 300]
    people = spooled(tmp_path / "s", [view(number, [], name=name) for number, name in enumerate(names)])
    write_people(tmp_path / "people.npz", people)
    assert read_people(tmp_path / "people.npz").picture.tolist() == names


def test_an_identity_whose_side_turns_out_to_be_the_other_has_two_tracks(tmp_path):
    kinds = ["hand", "hand_right", "hand_left", "hand_left"]
    views = [view(number, [subject(kind, 5, 0.1 * number)]) for number, kind in enumerate(kinds)]
    right, left = spooled(tmp_path / "s", views).tracks()
    assert (left.side, left.kind, left.rows.tolist()) == ("left", "hand_left", [-1, -1, 2, 3])
    assert (right.side, right.rows.tolist()) == ("right", [0, 1, -1, -1])
    assert right.identity == left.identity == 5


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:2000]), "cannot be read"),
        (lambda path: path.write_bytes(b"no archive"), "cannot be read"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: np.savez(path, keypoints=np.zeros(3)), "is no humanpt people 1 file"),
        (lambda path: _without(path, "timestamp"), "has no timestamp"),
        (lambda path: _without(path, "about"), "cannot be read"),
        (lambda path: _without(path, "shape"), "some are there and some are not"),
        (lambda path: _with(path, "box", np.zeros((2, 3), np.float32)), "box is float32 of"),
        (lambda path: _with(path, "frame", np.array([0, 9, 9])), "rows are of pictures 0 to 9 of 2"),
        (lambda path: _with(path, "score", np.array([None, 1, 2])), "cannot be read"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_line(tmp_path, spoil, reason):
    path = tmp_path / "people.npz"
    write_people(path, spooled(tmp_path / "s", two_hands(2), vertices=False))
    spoil(path)
    with pytest.raises(InputError, match=reason) as caught:
        read_people(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def _with(path, name, values):
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **(arrays | {name: values}))


def _without(path, name):
    with np.load(path) as archive:
        arrays = dict(archive)
    del arrays[name]
    np.savez(path, **arrays)


def test_rows_of_a_torn_picture_are_left_out(tmp_path):
    """Whatever the moment of a kill, columns end at different places; whole pictures are read, all of them."""
    folder = tmp_path / "s"
    whole = spooled(folder, two_hands(4))
    for name in ("frame_number", "timestamp"):  # the last picture's rows were written, the picture was not
        column = folder / f"{name}.npy"
        column.write_bytes(column.read_bytes()[:-3])
    people = read_spool(folder)
    assert len(people.frame_number) == 3
    np.testing.assert_array_equal(people.keypoints, whole.keypoints[whole.frame < 3])
    column = folder / "vertices.npy"
    column.write_bytes(column.read_bytes()[:-5])  # of a row that has no picture any more
    assert same(read_spool(folder), people)


@pytest.mark.parametrize("left", [0, 5, 100])
def test_a_first_picture_that_was_torn_leaves_none(tmp_path, left):
    folder = tmp_path / "s"
    spooled(folder, two_hands(1))
    for path in folder.iterdir():
        if path.name in ("timestamp.npy", "shape.npy"):
            path.write_bytes(path.read_bytes()[:left])
        if path.stem in ROW_COLUMNS[-2:]:
            path.unlink()
    people = read_spool(folder)
    assert len(people.frame_number) == len(people.frame) == 0


def test_a_folder_without_a_recording_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no recording"):
        read_people(tmp_path)
