"""The licensed models, on files of their formats made from free data."""

import contextlib
import io
import os
import pickle

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from humanpt.body.array_files import read_arrays
from humanpt.body.model import load_body_model
from humanpt.body.smpl import KINDS
from humanpt.errors import InputError
from humanpt.geometry.rotations import mirror_x
from tests.body.licensed_files import PARENTS, made, write_npz, write_pickle
from tests.body.random_people import random_people

STEMS = {"smpl": "SMPL_NEUTRAL", "smplx": "SMPLX_NEUTRAL", "mano": "MANO_RIGHT"}


@pytest.fixture(scope="session")
def arrays(small, hand):
    return {name: made(name, hand if name == "mano" else small) for name in KINDS}


@pytest.fixture(scope="session")
def library(arrays, tmp_path_factory):
    folder = tmp_path_factory.mktemp("licensed")
    for name, stem in STEMS.items():
        write_npz(folder / name / f"{stem}.npz", arrays[name])
    return folder


@pytest.fixture
def owned(library, monkeypatch):
    monkeypatch.setenv("HUMANPT_BODY_MODELS", str(library))
    return library


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HUMANPT_BODY_MODELS", str(tmp_path))
    monkeypatch.setenv("HUMANPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def of_package(name, path, data):
    """The same file in the package smplx, which speaks to stdout and wants pickles or structures."""
    smplx = pytest.importorskip("smplx")
    from smplx.utils import Struct

    with contextlib.redirect_stdout(io.StringIO()):
        if name == "smpl":
            return smplx.SMPLLayer(str(path), data_struct=Struct(**data))
        if name == "mano":
            return smplx.MANOLayer(str(path), data_struct=Struct(**data), is_rhand=True, flat_hand_mean=True)
        return smplx.SMPLXLayer(str(path), ext="npz", flat_hand_mean=True, num_expression_coeffs=10)


def parts_of_pose(name, pose):
    if name == "smplx":
        named = dict(zip(("jaw_pose", "leye_pose", "reye_pose"), pose[:, 22:25, None].unbind(1), strict=True))
        return {"body_pose": pose[:, 1:22], "left_hand_pose": pose[:, 25:40], "right_hand_pose": pose[:, 40:], **named}
    return {"body_pose" if name == "smpl" else "hand_pose": pose[:, 1:]}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", KINDS)
def test_meshes_and_joints_equal_those_of_the_package_smplx(name, owned, arrays):
    model = load_body_model(name)
    theirs = of_package(name, owned / name / f"{STEMS[name]}.npz", arrays[name])
    shape, pose, transl = random_people(model, 3)
    axes = torch.tensor([1.0, -1, -1])
    given = {"betas": shape[:, :10], **({"expression": shape[:, 10:]} if name == "smplx" else {})}
    wanted = theirs(**given, global_orient=pose[:, :1], **parts_of_pose(name, pose), transl=transl * axes)
    mesh = model(shape, pose, transl)
    assert_close(mesh.vertices, wanted.vertices * axes, atol=1e-5, rtol=0)
    assert_close(mesh.joints, wanted.joints[:, : mesh.joints.shape[1]] * axes, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", KINDS)
def test_the_layout_names_the_joints_of_the_tree(name, owned):
    layout = load_body_model(name).layout
    assert list(layout.parents) == PARENTS[name]
    assert len(layout.joint_names) == len(layout.parents)
    assert layout.pose_parameterization == "local-joint"
    assert len(layout.keypoint_names) == (21 if name == "mano" else 23)


@pytest.mark.parametrize("name", KINDS)
def test_a_batch_equals_its_single_people(name, owned):
    model = load_body_model(name)
    shape, pose, transl = random_people(model, 2)
    together = model(shape, pose, transl)
    alone = model(shape[1:], pose[1:], transl[1:])
    assert_close(alone.vertices[0], together.vertices[1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", ["smpl", "mano"])
def test_absolute_rotations_can_be_written_as_a_pose(name, side, owned):
    model = load_body_model(name, side=side)
    shape, pose, transl = random_people(model, 2)
    mesh = model(shape, pose, transl)
    assert_close(model.pose_from_orientations(mesh.orientations, shape), pose, atol=1e-5, rtol=0)


def test_the_body_stands_upright_in_our_axes(owned):
    model = load_body_model("smpl")
    assert_close(model.canonical[:1229, 1].amin(), torch.tensor(-0.85), atol=0.02, rtol=0)  # the head
    assert model.canonical[:1229, 1].amax() > 0.9


def test_a_left_hand_without_a_file_is_the_right_one_mirrored(owned):
    right, left = load_body_model("mano"), load_body_model("mano", side="left")
    shape, pose, transl = random_people(right, 2)
    flip = torch.tensor([-1.0, 1, 1])
    mirrored = left(shape, mirror_x(pose), transl * flip)
    assert_close(mirrored.vertices, right(shape, pose, transl).vertices * flip, atol=1e-6, rtol=0)
    assert left.layout.topology == "mano_right-mirrored"
    assert_close(left.faces, right.faces[:, [0, 2, 1]])


def test_a_left_hand_comes_from_its_own_file_if_there_is_one(folder, arrays):
    write_npz(folder / "MANO_RIGHT.npz", arrays["mano"])
    write_npz(folder / "MANO_LEFT.npz", arrays["mano"])
    assert load_body_model("mano", side="left").layout.topology == "mano_left"


def test_pickles_with_chumpy_inside_are_read_without_it(folder, arrays):
    path = write_pickle(folder / "MANO_RIGHT.pkl", arrays["mano"])
    read = read_arrays(path, arrays["mano"])
    for name, array in arrays["mano"].items():
        np.testing.assert_allclose(read[name], array, atol=1e-7)
    assert len(load_body_model("mano").canonical) == 778


def test_a_pickle_that_would_run_something_is_refused(folder):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(folder / "gotcha"),)

    (folder / "SMPL_NEUTRAL.pkl").write_bytes(pickle.dumps({"v_template": Evil()}))
    with pytest.raises(InputError, match=r"SMPL_NEUTRAL.pkl: names posix.mkdir, which is no array; .*save its arrays"):
        load_body_model("smpl")
    assert not (folder / "gotcha").exists()


@pytest.mark.parametrize(
    ("content", "stem", "name", "message"),
    [
        (
            "mano",
            "SMPLX_NEUTRAL",
            "smplx",
            "SMPL-X has 10475 vertices and 55 joints, the file 778 and 16: this is MANO",
        ),
        ("smpl", "MANO_RIGHT", "mano", "the file 6890 and 24: this is SMPL; get MANO from mano.is.tue.mpg.de"),
    ],
)
def test_a_file_of_another_model_is_named(content, stem, name, message, folder, arrays):
    write_npz(folder / f"{stem}.npz", arrays[content])
    with pytest.raises(InputError, match=message):
        load_body_model(name)


def test_a_file_without_a_model_is_named(folder):
    write_npz(folder / "SMPL_NEUTRAL.npz", {"poses": np.zeros(3)})
    with pytest.raises(InputError, match="no v_template, so it is no SMPL file"):
        load_body_model("smpl")


def test_a_file_cut_short_is_one_clear_line(folder, arrays):
    path = write_npz(folder / "MANO_RIGHT.npz", arrays["mano"])
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"MANO_RIGHT.npz: .*get it again from its owner"):
        load_body_model("mano")


def test_arrays_of_the_wrong_size_are_named(folder, arrays):
    write_npz(folder / "MANO_RIGHT.npz", arrays["mano"] | {"weights": np.zeros((778, 15))})
    with pytest.raises(InputError, match=r"weights is \(778, 15\), not \(778, 16\)"):
        load_body_model("mano")


def test_triangles_beyond_the_vertices_are_named(folder, arrays):
    write_npz(folder / "MANO_RIGHT.npz", arrays["mano"] | {"f": np.array([[0, 1, 778]])})
    with pytest.raises(InputError, match="f counts to 778, of 778 points"):
        load_body_model("mano")


def test_a_missing_file_says_where_to_get_it_and_what_is_free(folder):
    with pytest.raises(InputError, match=r"SMPL-X: no SMPLX_NEUTRAL.npz or .* smpl-x.is.tue.mpg.de .* anny-body"):
        load_body_model("smplx")


def test_shapes_are_drawn_around_the_mean(owned):
    model = load_body_model("mano")
    shapes = model.sample_shape(np.random.default_rng(0), 500)
    assert model.mean_shape().abs().max() == 0
    assert shapes.abs().max() <= 2.5
    assert 0.9 < shapes.std() < 1.05
