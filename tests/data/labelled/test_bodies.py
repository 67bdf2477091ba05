"""3DPW, EMDB, BEDLAM and AGORA, on small sets in their owners' layouts, against bodies that the package computes."""

import os
import pickle
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from humanpt.body import smpl
from humanpt.body.model import load_body_model
from humanpt.body.skeletons import SMPL_24
from humanpt.data.labelled import open_labelled, smpl_bodies
from humanpt.data.labelled.bedlam import FINGERS, SMPLX_66
from humanpt.errors import InputError
from tests.body.licensed_files import made, write_npz
from tests.data.labelled.written_bodies import (
    CAMERA,
    bedlam_arrays,
    clip,
    smpl_call,
    smplx_call,
    threedpw_content,
    write_3dpw,
    write_bedlam,
    write_emdb,
    write_pictures,
)

pytest.importorskip("smplx")

NEAR = {"rtol": 0, "atol": 2e-5}


@pytest.fixture(autouse=True)
def forgotten():
    smpl_bodies.owned_model.cache_clear()
    smpl_bodies._root_at_rest.cache_clear()
    yield
    smpl_bodies.owned_model.cache_clear()


@pytest.fixture(scope="module")
def arrays():
    free = load_body_model("anny-body-small")
    return {"male": made("smpl", free, seed=1), "neutral": made("smpl", free, seed=2)}


@pytest.fixture(scope="module")
def smplx_file(tmp_path_factory):
    return write_npz(
        tmp_path_factory.mktemp("smplx") / "SMPLX_NEUTRAL.npz", made("smplx", load_body_model("anny-body-small"))
    )


@pytest.fixture
def owned(own_cache, arrays, tmp_path):
    """The user has SMPL's male and neutral files."""
    for gender, numbers in arrays.items():
        write_npz(tmp_path / "models" / f"SMPL_{gender.upper()}.npz", numbers)


@pytest.fixture
def owned_smplx(own_cache, smplx_file, tmp_path):
    """The user has SMPL-X's neutral file."""
    (tmp_path / "models").mkdir()
    os.link(smplx_file, tmp_path / "models" / smplx_file.name)


@pytest.fixture(scope="module")
def man(arrays):
    return clip(smpl_call(arrays["male"]), 24)


@pytest.fixture(scope="module")
def person(arrays):
    return clip(smpl_call(arrays["neutral"]), 24, seed=7)


@pytest.fixture(scope="module")
def dressed(smplx_file):
    return clip(smplx_call(smplx_file), 55, world=False)


def opened(root, man):
    return open_labelled(f"3dpw:{write_3dpw(root, threedpw_content([man], 'm'))}", subject="body")


def again(model, labelled):
    """The vertices that a model gives for the labels."""
    numbers = (torch.from_numpy(value)[None] for value in (labelled.shape, labelled.pose, labelled.transl))
    with torch.no_grad():
        return model(*numbers).vertices[0].numpy()


def test_3dpw_joints_and_vertices_come_to_the_camera(tmp_path, man, owned):
    data = opened(tmp_path / "set", man)
    assert len(data) == 4
    for frame in range(4):
        labelled = data.labels(frame)
        np.testing.assert_allclose(labelled.keypoints, man.joints_cam[frame], **NEAR)
        np.testing.assert_allclose(labelled.vertices, man.vertices_cam[frame], **NEAR)
        np.testing.assert_allclose(labelled.pixels, man.pixels[frame], atol=1e-3)
    assert data.layout.keypoint_names == SMPL_24
    assert set(data.layout.root_names) <= set(SMPL_24)
    assert labelled.focal_from == "calibration"
    np.testing.assert_allclose(labelled.intrinsics, CAMERA)


def test_a_body_of_another_gender_tells_no_shape_of_the_neutral_model(tmp_path, man, owned):
    labelled = opened(tmp_path / "set", man).labels(0)
    assert labelled.shape is None
    assert labelled.transl is None
    male = smpl.load("smpl", gender="male")
    posed = again(male, replace(labelled, shape=man.betas, transl=np.zeros(3, np.float32)))
    shift = man.vertices_cam[0] - posed
    np.testing.assert_allclose(shift, np.broadcast_to(shift.mean(axis=0), shift.shape), **NEAR)


def test_3dpw_gives_its_own_joints_without_any_file_of_smpl(tmp_path, man):
    labelled = opened(tmp_path / "set", man).labels(2)
    np.testing.assert_allclose(labelled.keypoints, man.joints_cam[2], **NEAR)
    assert labelled.vertices is None


def test_a_neutral_body_without_files_is_placed_by_its_pelvis(tmp_path, person, arrays, own_cache):
    root = write_3dpw(tmp_path / "set", threedpw_content([person], ["neutral"]))
    labelled = open_labelled(f"3dpw:{root}", subject="body").labels(1)
    assert labelled.vertices is None
    write_npz(tmp_path / "models" / "SMPL_NEUTRAL.npz", arrays["neutral"])
    np.testing.assert_allclose(again(load_body_model("smpl"), labelled), person.vertices_cam[1], **NEAR)


def test_frames_of_3dpw_without_a_camera_or_a_detection_are_left_out(tmp_path, man):
    content = threedpw_content([man, man], "mf")
    content["campose_valid"][0][1] = 0
    content["poses2d"][1][3] = 0
    data = open_labelled(f"3dpw:{write_3dpw(tmp_path / 'set', content)}", subject="body")
    names = [data.name(index) for index in range(len(data))]
    kept = ((0, 0), (2, 0), (3, 0), (0, 1), (1, 1), (2, 1))
    assert names == [f"downtown_walk_00/{frame:05d}/{who}" for frame, who in kept]
    assert set(data.groups) == {0}
    assert data.partners.tolist() == [2, 0, 0, 5, 3, 3]
    assert data.picture(2)[0, 0, 0] == pytest.approx(70, abs=2)  # frame 3
    assert pickle.loads(pickle.dumps(data)).name(3) == names[3]


def test_files_without_marks_of_valid_cameras_count_whole(tmp_path, man):
    content = threedpw_content([man], "m")
    del content["campose_valid"], content["poses2d"]
    assert len(open_labelled(str(write_3dpw(tmp_path / "set", content)), subject="body")) == 4


def test_a_body_of_a_gender_comes_from_that_file_alone(owned):
    assert smpl.load("smpl", gender="male").layout.topology == "smpl_male"
    assert smpl.load("smpl").layout.topology == "smpl_neutral"
    assert smpl_bodies.owned_model("smpl", "female") is None
    with pytest.raises(InputError, match=r"no SMPL_FEMALE\.npz"):
        smpl.load("smpl", gender="female")


def test_the_crop_of_3dpw_holds_all_joints(tmp_path, man):
    data = opened(tmp_path / "set", man)
    for index in range(len(data)):
        x0, y0, x1, y1 = data.labels(index).square
        pixels = man.pixels[index]
        assert ((pixels > [x0, y0]) & (pixels < [x1, y1])).all()
        assert x1 - x0 == pytest.approx(y1 - y0, rel=1e-5)


def broken(content, name, change):
    content[name] = [change(np.array(value)) for value in content[name]]
    return content


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: broken(content, "jointPositions", lambda values: 1000 * values), "millimetres"),
        (lambda content: broken(content, "jointPositions", lambda values: values * np.nan), "NaN"),
        (lambda content: broken(content, "poses", lambda values: values[:, :69]), "do not fit"),
        (lambda content: broken(content, "trans", lambda values: values[1:]), "do not fit"),
        (lambda content: content | {"genders": ["x"]}, "gender is 'x'"),
        (lambda content: content | {"campose_valid": [np.zeros(4)]}, "no frame has sound labels"),
    ],
)
def test_damaged_labels_of_3dpw_are_told_in_one_line(tmp_path, man, change, words):
    root = write_3dpw(tmp_path / "set", change(threedpw_content([man], "m")))
    with pytest.raises(InputError, match=words) as caught:
        open_labelled(f"3dpw:{root}", subject="body")
    assert "\n" not in str(caught.value)


def test_another_pickle_is_no_file_of_3dpw(tmp_path, man):
    root = write_3dpw(tmp_path / "set", threedpw_content([man], "m"))
    (root / "sequenceFiles" / "train" / "other.pkl").write_bytes(pickle.dumps({"poses": [man.poses]}, protocol=2))
    with pytest.raises(InputError, match=r"other.pkl: no 'trans', so it is no file of 3DPW"):
        open_labelled(f"3dpw:{root}", subject="body")


class Runs:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_a_pickle_that_would_run_something_is_refused(tmp_path, man, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = write_3dpw(tmp_path / "set", threedpw_content([man], "m") | {"texture_maps": Runs()})
    with pytest.raises(InputError, match=r"names .*mkdir"):
        open_labelled(f"3dpw:{root}", subject="body")
    assert not (tmp_path / "ran").exists()


def test_missing_parts_of_3dpw_are_named_with_where_to_get_them(tmp_path, man):
    with pytest.raises(InputError, match=r"sequenceFiles/test: .*virtualhumans"):
        open_labelled(f"3dpw:{tmp_path}", "test", subject="body")
    with pytest.raises(InputError, match="no split 'val'"):
        open_labelled(f"3dpw:{tmp_path}", "val", subject="body")
    data = opened(tmp_path / "set", man)
    (tmp_path / "set" / "imageFiles" / "downtown_walk_00" / "image_00001.jpg").unlink()
    with pytest.raises(InputError, match=r"image_00001.jpg: .*virtualhumans"):
        data.picture(1)
    (tmp_path / "set" / "imageFiles" / "downtown_walk_00").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"imageFiles/downtown_walk_00: .*virtualhumans"):
        open_labelled(f"3dpw:{tmp_path / 'set'}", subject="body")


def test_emdb_follows_from_shape_and_pose(tmp_path, person, owned):
    data = open_labelled(str(write_emdb(tmp_path / "set", person, good=[True, False, True, True])), subject="body")
    assert [data.name(index) for index in range(3)] == [f"P3_07_outdoor_walk/{frame:05d}/0" for frame in (0, 2, 3)]
    for index, frame in enumerate((0, 2, 3)):
        labelled = data.labels(index)
        np.testing.assert_allclose(labelled.keypoints, person.joints_cam[frame], **NEAR)
        np.testing.assert_allclose(labelled.pixels, person.pixels[frame], atol=1e-3)
        np.testing.assert_allclose(again(load_body_model("smpl"), labelled), person.vertices_cam[frame], **NEAR)
        np.testing.assert_allclose(labelled.vertices, person.vertices_cam[frame], **NEAR)


def test_emdb_without_a_file_of_smpl_knows_places_in_the_picture_alone(tmp_path, person):
    labelled = open_labelled(f"emdb:{write_emdb(tmp_path / 'set', person)}", "emdb1", subject="body").labels(0)
    assert np.isnan(labelled.keypoints).all()
    assert labelled.vertices is None
    np.testing.assert_allclose(labelled.pixels, person.pixels[0], atol=1e-3)


def test_emdb_splits_by_the_owners_lists(tmp_path, person):
    root = write_emdb(tmp_path / "set", person, emdb1=False)
    assert len(open_labelled(f"emdb:{root}", "emdb2", subject="body")) == 4
    with pytest.raises(InputError, match="no frame"):
        open_labelled(f"emdb:{root}", "emdb1", subject="body")


def test_bedlam_comes_out_as_its_authors_compute_it(tmp_path, dressed, owned_smplx):
    write_bedlam(tmp_path / "set", bedlam_arrays(dressed))
    data = open_labelled(str(tmp_path / "set"), subject="body")
    assert data.layout.keypoint_names == SMPLX_66
    model = load_body_model("smplx")
    for index in range(len(data)):
        labelled = data.labels(index)
        np.testing.assert_allclose(labelled.keypoints[:55], dressed.joints_cam[index, :55], **NEAR)
        np.testing.assert_allclose(labelled.keypoints[55:], dressed.joints_cam[index, 55:66], **NEAR)
        np.testing.assert_allclose(labelled.vertices, dressed.vertices_cam[index], **NEAR)
        np.testing.assert_allclose(again(model, labelled), dressed.vertices_cam[index], **NEAR)
        np.testing.assert_allclose(labelled.pixels, dressed.pixels[index, :66], atol=1e-3)
        middle = (labelled.square[:2] + labelled.square[2:]) / 2
        box = np.array([dressed.pixels[index].min(axis=0), dressed.pixels[index].max(axis=0)])
        np.testing.assert_allclose(middle, box.mean(axis=0), atol=1e-3)
        assert labelled.square[2] - labelled.square[0] == pytest.approx(1.2 * (box[1] - box[0]).max(), rel=1e-5)
    assert set(data.groups) == {0}


def test_the_eleventh_shape_value_counts(tmp_path, arrays, own_cache):
    small = arrays["neutral"]
    directions = np.zeros((*small["shapedirs"].shape[:2], 300), np.float32)
    directions[..., :10] = small["shapedirs"]
    directions[..., 10] = 0.01  # the eleventh moves the whole body by a centimetre, and its joints with it
    write_npz(tmp_path / "models" / "SMPL_NEUTRAL.npz", small | {"shapedirs": directions})
    one = clip(smpl_call(small), 24, frames=1, world=False)
    told = bedlam_arrays(one)
    write_bedlam(tmp_path / "set", told | {"shape": np.append(told["shape"], [[2.0]], axis=1)})
    data = open_labelled(f"bedlam:{tmp_path / 'set'}", subject="body")
    labelled = data.labels(0)
    assert data.layout.keypoint_names == SMPL_24
    np.testing.assert_allclose(labelled.vertices, one.vertices_cam[0] + 0.02, **NEAR)
    np.testing.assert_allclose(labelled.keypoints, one.joints_cam[0] + 0.02, **NEAR)
    np.testing.assert_allclose(labelled.shape, one.betas)


def test_more_shape_values_take_a_file_that_has_them(tmp_path, dressed, owned_smplx):
    arrays = bedlam_arrays(dressed)
    write_bedlam(tmp_path / "set", arrays | {"shape": np.append(arrays["shape"], [[0], [1], [0], [0]], axis=1)})
    data = open_labelled(f"bedlam:{tmp_path / 'set'}", subject="body")
    np.testing.assert_allclose(data.labels(0).vertices, dressed.vertices_cam[0], **NEAR)
    with pytest.raises(InputError, match="has no 300 shape values, of which 11 are needed"):
        data.labels(1)


def test_pictures_of_one_person_in_a_scene_are_partners(tmp_path, dressed):
    write_bedlam(tmp_path / "set", bedlam_arrays(dressed) | {"sub": ["rp_anna", "rp_bo", "rp_anna", "rp_anna"]})
    data = open_labelled(f"bedlam:{tmp_path / 'set'}", subject="body")
    assert data.partners.tolist() == [2, -1, 3, 2]


def test_bedlam_without_a_file_of_smplx_knows_places_in_the_picture(tmp_path, dressed):
    write_bedlam(tmp_path / "set", bedlam_arrays(dressed))
    labelled = open_labelled(f"bedlam:{tmp_path / 'set'}", subject="body").labels(1)
    assert np.isnan(labelled.keypoints).all()
    assert labelled.transl is None
    np.testing.assert_allclose(labelled.pixels, dressed.pixels[1, :66], atol=1e-3)


def test_pictures_that_lie_on_their_side_are_stood_up(tmp_path, dressed):
    arrays = bedlam_arrays(dressed)
    arrays["cam_int"] = arrays["cam_int"][:, [1, 0, 2]][:, :, [1, 0, 2]]  # the camera sees an upright picture
    path = write_bedlam(tmp_path / "set", arrays)
    data = open_labelled(f"bedlam:{tmp_path / 'set'}", subject="body")
    stored = np.zeros((108, 192, 3), np.uint8)
    stored[:, :10] = 255  # left as it lies is above as it stands
    folder = tmp_path / "set" / "training_images" / path.stem / "png"
    cv2.imwrite(str(folder / arrays["imgname"][0]), stored)
    upright = data.picture(0)
    assert upright.shape == (192, 108, 3)
    assert upright[:10].min() == 255
    assert upright[10:].max() == 0


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("pose_cam", lambda values: values[:, :66], r"pose_cam is \(4, 66\)"),
        ("shape", lambda values: values[:, :4], "4 shape values"),
        ("cam_int", lambda values: values[1:], "cam_int are 3 x 3 x 3"),
        ("gtkps", lambda values: values[:, :20], r"gtkps is \(4, 20, 3\)"),
        ("cam_ext", lambda values: values * np.nan, "NaN"),
        ("imgname", lambda values: np.array(values, object), "plain arrays"),
    ],
)
def test_damaged_files_of_bedlam_are_told_in_one_line(tmp_path, dressed, name, change, words):
    arrays = bedlam_arrays(dressed)
    write_bedlam(tmp_path / "set", arrays)
    write_bedlam(tmp_path / "set", {"imgname": []} | arrays | {name: change(arrays[name])})
    with pytest.raises(InputError, match=words) as caught:
        open_labelled(f"bedlam:{tmp_path / 'set'}", subject="body")
    assert "\n" not in str(caught.value)


def test_bedlam_without_pictures_says_where_they_are_had(tmp_path, dressed):
    write_bedlam(tmp_path / "set", bedlam_arrays(dressed))
    (tmp_path / "set" / "training_images").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"training_images.*bedlam.is.tue"):
        open_labelled(f"bedlam:{tmp_path / 'set'}", subject="body")


def written_agora(root, arrays):
    root.mkdir()
    np.savez(root / "agora-bfh.npz", **arrays)
    write_pictures(root / "images", arrays["imgname"])
    return root


def test_agora_gives_bodies_without_fingers(tmp_path, dressed, owned_smplx):
    data = open_labelled(str(written_agora(tmp_path / "set", bedlam_arrays(dressed, agora=True))), subject="body")
    labelled = data.labels(2)
    assert data.layout.dataset == "agora"
    np.testing.assert_allclose(labelled.keypoints[:25], dressed.joints_cam[2, :25], **NEAR)
    assert np.isnan(labelled.keypoints[FINGERS]).all()
    assert np.isnan(labelled.pose[FINGERS]).all()
    assert np.isfinite(labelled.pose[:25]).all()
    assert labelled.vertices is None


def test_agoras_children_have_poses_alone(tmp_path, dressed, owned_smplx):
    arrays = bedlam_arrays(dressed, agora=True)
    arrays["shape"] = np.concatenate([arrays["shape"], [[0], [1], [0], [0]]], axis=1)
    data = open_labelled(str(written_agora(tmp_path / "set", arrays)), subject="body")
    adult, child = data.labels(0), data.labels(1)
    assert np.isfinite(adult.keypoints[:25]).all()
    assert np.isnan(child.keypoints).all()
    assert child.shape is None
    assert child.transl is None
    assert np.isfinite(child.pose[:25]).all()


def test_agoras_own_tables_are_not_opened(tmp_path):
    (tmp_path / "validation_SMPLX").mkdir()
    (tmp_path / "validation_SMPLX" / "validation_0_withjv.pkl").write_bytes(b"pandas")
    with pytest.raises(InputError, match="pickled table of pandas"):
        open_labelled(f"agora:{tmp_path}", subject="body")


def test_detections_of_3dpw_that_do_not_fit_are_told_in_one_line(tmp_path, man):
    content = threedpw_content([man], "m")
    content["poses2d"][0] = content["poses2d"][0][:2]
    with pytest.raises(InputError, match=r"poses2d \(2, 3, 18\) and cam_poses .* do not fit"):
        open_labelled(f"3dpw:{write_3dpw(tmp_path / 'set', content)}", subject="body")
