"""The licensed models, on files of their formats made from free data."""

import contextlib
import copy
import io
import os
import pickle
import sys
import tempfile

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from humanpt.body.array_files import read_arrays
from humanpt.body.model import load_body_model
from humanpt.body.skeletons import MANO_16
from humanpt.body.smpl_files import KINDS
from humanpt.errors import InputError, OutputError
from humanpt.geometry.rotations import mirror_x, rotmat_to_rotvec
from tests.body.licensed_files import PARENTS, made, write_npz, write_pickle
from tests.body.random_people import random_people

smplx = pytest.importorskip("smplx")
Struct = pytest.importorskip("smplx.utils").Struct

FLIP = torch.tensor([1.0, -1, -1])
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


@pytest.fixture(scope="session")
def models(library):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HUMANPT_BODY_MODELS", str(library))
        return {name: load_body_model(name) for name in KINDS}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HUMANPT_BODY_MODELS", str(tmp_path))
    monkeypatch.setenv("HUMANPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def package_call(name, path, data, shape, turns, transl):
    """Vertices and joints as a user of the package asks for them: rotation vectors, file axes, no class of ours."""
    count, names = len(shape), KINDS[name].joint_names
    with contextlib.redirect_stdout(io.StringIO()):
        if name == "smplx":
            model = smplx.SMPLX(str(path), flat_hand_mean=True, use_pca=False, batch_size=count)
        elif name == "smpl":
            model = smplx.SMPL("", data_struct=Struct(**data))
        else:
            model = smplx.MANO("", data_struct=Struct(**data), flat_hand_mean=True, use_pca=False)
    by_name = {
        "smpl": {"body_pose": names[1:]},
        "mano": {"hand_pose": names[1:]},
        "smplx": {
            "body_pose": names[1:22],
            "jaw_pose": ["jaw"],
            "leye_pose": ["left_eyeball"],
            "reye_pose": ["right_eyeball"],
            "left_hand_pose": [f"left_{joint}" for joint in MANO_16[1:]],
            "right_hand_pose": [f"right_{joint}" for joint in MANO_16[1:]],
        },
    }[name]
    pose = {part: turns[:, [names.index(joint) for joint in joints]].flatten(1) for part, joints in by_name.items()}
    face = {"expression": shape[:, 10:]} if name == "smplx" else {}
    given = {"betas": shape[:, :10], "global_orient": turns[:, 0], "transl": transl} | pose | face
    with torch.no_grad():
        posed = model(**given)
    return posed.vertices, posed.joints[:, : len(names)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", KINDS)
def test_meshes_and_joints_are_those_of_the_package_in_our_axes(name, owned, models, arrays):
    model = models[name]
    shape, pose, transl = random_people(model, 3)
    path = owned / name / f"{STEMS[name]}.npz"
    vertices, joints = package_call(name, path, arrays[name], shape, rotmat_to_rotvec(pose), transl * FLIP)
    mesh = model(shape, pose, transl)
    assert_close(mesh.vertices, vertices * FLIP, atol=1e-5, rtol=0)
    assert_close(mesh.joints, joints * FLIP, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", KINDS)
def test_the_reference_pose_is_the_template_and_the_shape_basis(name, models, arrays):
    model = models[name]
    shape, *_ = random_people(model, 2)
    basis = torch.from_numpy(arrays[name]["shapedirs"])
    wanted = torch.from_numpy(arrays[name]["v_template"]) + torch.einsum("vcs,bs->bvc", basis, shape)
    assert_close(model.rest(shape), wanted * FLIP, atol=1e-5, rtol=0)
    assert_close(model.rest(model.mean_shape())[0], model.canonical, atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_first_joint_turns_the_hand_about_itself(side, owned):
    model = load_body_model("mano", side=side)
    shape, pose, _ = random_people(model, 1)
    pose[:, 1:] = torch.eye(3)
    mesh, rest = model(shape, pose, torch.zeros(1, 3)), model(shape, model.identity_pose(), torch.zeros(1, 3))
    turn, root = mesh.orientations[:, 0], rest.joints[:, :1]
    assert_close(mesh.vertices, (rest.vertices - root) @ turn.mT + root, atol=1e-6, rtol=0)
    assert_close(mesh.orientations, turn[:, None].expand(1, 16, 3, 3))


@pytest.mark.parametrize("name", KINDS)
def test_one_shape_is_shared_by_all_poses(name, models):
    model = models[name]
    shape, pose, transl = random_people(model, 2)
    shared = model(shape[:1], pose, transl[:1])
    assert_close(shared.vertices, model(shape[[0, 0]], pose, transl[[0, 0]]).vertices)


@pytest.mark.parametrize("name", KINDS)
def test_gradients_reach_shape_pose_and_place(name, models):
    model = copy.deepcopy(models[name]).double()
    inputs = [tensor.requires_grad_() for tensor in random_people(model, 1, dtype=torch.float64)]
    mesh = model(*inputs)
    weights = torch.linspace(-1, 1, mesh.vertices.numel(), dtype=torch.float64).reshape(mesh.vertices.shape)
    gradients = torch.autograd.grad((mesh.vertices * weights).sum(), inputs)
    for at, gradient in enumerate(gradients):
        ahead, behind = list(inputs), list(inputs)
        ahead[at], behind[at] = inputs[at] + 1e-6, inputs[at] - 1e-6
        change = ((model(*ahead).vertices - model(*behind).vertices) * weights).sum()
        assert_close(change / 2e-6, gradient.sum(), rtol=1e-5, atol=1e-4)
    assert mesh.keypoints.dtype == torch.float64


@pytest.mark.parametrize("name", KINDS)
def test_a_model_puts_nothing_into_checkpoints_and_says_nothing(name, owned, capfd):
    model = load_body_model(name)
    assert not model.state_dict()
    assert not list(model.parameters())
    assert capfd.readouterr() == ("", "")


def test_key_points_are_joints_and_named_vertices(models):
    model = models["smpl"]
    mesh = model(*random_people(model, 1))
    named = dict(zip(model.layout.keypoint_names, mesh.keypoints[0], strict=True))
    assert_close(named["nose"], mesh.vertices[0, 332])
    assert_close(named["right_heel"], mesh.vertices[0, 6787])
    assert_close(named["left_knee"], mesh.joints[0, 4])


@pytest.mark.parametrize("name", ["smplx", "mano"])
def test_a_missing_package_says_what_to_install(name, owned, monkeypatch):
    monkeypatch.setitem(sys.modules, "smplx", None)
    with pytest.raises(InputError, match=r"npz: .* computed by the package smplx.*pip install 'humanpt\[smplx\]'"):
        load_body_model(name)


def test_the_package_opens_no_pickle(folder, arrays, monkeypatch):
    """The file of SMPL-X has some beside its arrays."""
    write_npz(folder / "SMPLX_NEUTRAL.npz", arrays["smplx"] | {"joint2num": np.array({"pelvis": 0}, dtype=object)})

    def refuse(*_, **__):
        raise AssertionError("a pickle was opened")

    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    assert len(load_body_model("smplx").canonical) == 10475


def test_a_missing_temporary_folder_is_one_clear_line(owned, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(OutputError, match=r"npz: no temporary file .*set TMPDIR"):
        load_body_model("smplx")


@pytest.mark.parametrize("name", KINDS)
def test_the_layout_names_the_joints_of_the_tree(name, models):
    layout = models[name].layout
    assert list(layout.parents) == PARENTS[name]
    assert len(layout.joint_names) == len(layout.parents)
    assert layout.pose_parameterization == "local-joint"
    assert len(layout.keypoint_names) == (21 if name == "mano" else 23)


@pytest.mark.parametrize("name", KINDS)
def test_a_batch_equals_its_single_people(name, models):
    model = models[name]
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
    for joint in range(pose.shape[1]):
        assert_close(model.orientation(pose, joint), mesh.orientations[:, joint], atol=1e-5, rtol=0)


def test_the_body_stands_upright_in_our_axes(models):
    model = models["smpl"]
    assert_close(model.canonical[:1229, 1].amin(), torch.tensor(-0.85), atol=0.02, rtol=0)  # the head
    assert model.canonical[:1229, 1].amax() > 0.9


def test_a_left_hand_is_the_right_one_mirrored(owned, models):
    right, left = models["mano"], load_body_model("mano", side="left")
    shape, pose, transl = random_people(right, 2)
    flip = torch.tensor([-1.0, 1, 1])
    mirrored = left(shape, mirror_x(pose), transl * flip)
    assert_close(mirrored.vertices, right(shape, pose, transl).vertices * flip, atol=1e-6, rtol=0)
    assert left.layout.topology == "mano_right-mirrored"
    assert_close(left.faces, right.faces[:, [0, 2, 1]])


def test_the_file_of_the_left_hand_whose_shapes_are_those_of_the_right_is_not_taken(folder, arrays):
    write_npz(folder / "MANO_LEFT.npz", arrays["mano"])
    for side in ("left", "right"):
        with pytest.raises(InputError, match=r"MANO_LEFT.npz: is of the left hand.*MANO_RIGHT"):
            load_body_model("mano", side=side)
    write_npz(folder / "MANO_RIGHT.npz", arrays["mano"])
    assert load_body_model("mano", side="left").layout.topology == "mano_right-mirrored"


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


def test_arrays_without_numbers_are_named(folder, arrays):
    write_npz(folder / "MANO_RIGHT.npz", arrays["mano"] | {"weights": np.array("text")})
    with pytest.raises(InputError, match=r"weights is no array of numbers; get the file again from mano"):
        load_body_model("mano")


def test_a_child_before_its_parent_is_named(folder, arrays):
    wrong = arrays["mano"]["kintree_table"].copy()
    wrong[0, 1] = 5
    write_npz(folder / "MANO_RIGHT.npz", arrays["mano"] | {"kintree_table": wrong})
    with pytest.raises(InputError, match=r"kintree_table is no tree of joints"):
        load_body_model("mano")


def test_triangles_beyond_the_vertices_are_named(folder, arrays):
    write_npz(folder / "MANO_RIGHT.npz", arrays["mano"] | {"f": np.array([[0, 1, 778]])})
    with pytest.raises(InputError, match="f counts to 778, of 778 points"):
        load_body_model("mano")


def test_a_missing_file_says_where_to_get_it_and_what_is_free(folder):
    with pytest.raises(InputError, match=r"SMPL-X: no SMPLX_NEUTRAL.npz or .* smpl-x.is.tue.mpg.de .* anny-body"):
        load_body_model("smplx")


def test_shapes_are_drawn_around_the_mean(models):
    model = models["mano"]
    shapes = model.sample_shape(np.random.default_rng(0), 500)
    assert model.mean_shape().abs().max() == 0
    assert shapes.abs().max() <= 2.5
    assert 0.9 < shapes.std() < 1.05
