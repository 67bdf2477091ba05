"""DensePose-COCO on a small set in its layout, COCO's run lengths, and the sample of a predicted dense pose."""

import json
import pickle

import cv2
import numpy as np
import pytest

from humanpt.body.skeletons import BODY_PARTS
from humanpt.data.image import encode_jpeg, read_image
from humanpt.data.labelled.densepose_coco import open_set, read_iuv
from humanpt.data.labelled.open_dense import open_dense
from humanpt.data.labelled.rle import decode_mask
from humanpt.errors import InputError

BOX = (10.5, 20.0, 64.0, 128.0)


def packed(mask):
    """COCO's packed run lengths of a mask, written pixel by pixel."""
    runs, value = [], 0
    count = 0
    for bit in mask.T.ravel().astype(int).tolist():
        if bit != value:
            runs.append(count)
            count, value = 0, bit
        count += 1
    runs.append(count)
    text = ""
    for place, run in enumerate(runs):
        number = run - runs[place - 2] if place > 2 else run
        while True:
            group, number = number & 31, number >> 5
            done = number == (-1 if group & 16 else 0)
            text += chr(48 + group + (0 if done else 32))
            if done:
                break
    return {"size": list(mask.shape), "counts": text}


def part_masks():
    """14 masks: the first is the upper half of the box, the 14th the left quarter of the lower half."""
    upper, lower = np.zeros((256, 256), bool), np.zeros((256, 256), bool)
    upper[:128] = True
    lower[128:, :64] = True
    return [packed(upper), *([[]] * 12), packed(lower)]


def annotation(number, image=7, **changes):
    told = {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "bbox": list(BOX),
        "dp_x": [0.0, 127.5, 255.0],
        "dp_y": [0.0, 255.0, 51.0],
        "dp_I": [1.0, 2.0, 24.0],
        "dp_U": [0.0, 0.25, 1.0],
        "dp_V": [1.0, 0.5, 0.125],
        "dp_masks": part_masks(),
    }
    return told | changes


def write(root, *annotations, name="densepose_minival2014.json"):
    """Two pictures of val2014, and the annotations."""
    images = [
        {"id": number, "file_name": f"COCO_val2014_{number:012d}.jpg", "width": 100, "height": 160} for number in (7, 9)
    ]
    (root / "val2014").mkdir(parents=True)
    (root / "annotations").mkdir()
    for image in images:
        rgb = np.full((160, 100, 3), 10 * image["id"], np.uint8)
        (root / "val2014" / image["file_name"]).write_bytes(encode_jpeg(rgb))
    content = {"images": images, "annotations": list(annotations), "categories": [{"id": 1, "name": "person"}]}
    (root / "annotations" / name).write_text(json.dumps(content))
    return root


@pytest.fixture
def data(tmp_path):
    plain = {"id": 4, "image_id": 9, "bbox": [0, 0, 5, 5]}
    return open_set(write(tmp_path / "coco", annotation(3), plain, annotation(5, 9), annotation(6, 9)), "minival")


def test_points_lie_where_the_box_puts_them(data):
    points = data.points(0)
    corner = np.array(BOX[:2]) - 0.5  # of the box, humanpt's pixels
    places = corner + np.array([[0, 0], [0.5, 1], [1, 0.2]]) * BOX[2:]
    np.testing.assert_allclose(points.pixels, places, atol=1e-4)
    assert points.part.tolist() == [1, 2, 24]
    np.testing.assert_allclose(points.uv, [[0, 1], [0.25, 0.5], [1, 0.125]])


def test_people_without_dense_points_are_left_out_and_pictures_are_groups(data):
    assert [data.name(index) for index in range(len(data))] == [
        "COCO_val2014_000000000007/3",
        "COCO_val2014_000000000009/5",
        "COCO_val2014_000000000009/6",
    ]
    assert data.groups.tolist() == [0, 1, 1]
    assert data.picture(1).mean() == pytest.approx(90, abs=2)
    assert data.layout.part_names == BODY_PARTS
    assert data.maps(0) is None
    assert pickle.loads(pickle.dumps(data)).points(2).part.tolist() == [1, 2, 24]


def test_the_mask_is_the_union_of_the_parts_stretched_over_the_box(data):
    mask = data.mask(0)
    x, y, width, height = BOX
    columns, rows = np.meshgrid(np.arange(100) + 0.5, np.arange(160) + 0.5)
    across, down = (columns - x) / width, (rows - y) / height
    inside = (across >= 0) & (across < 1) & (down >= 0) & (down < 1)
    np.testing.assert_array_equal(mask, inside & ((down < 0.5) | (across < 0.25)))
    coarse = data.coarse(0)
    assert coarse[0, 200] == 1
    assert coarse[200, 0] == 14
    assert coarse[200, 200] == 0


def test_people_of_a_picture_know_each_other_and_their_size(tmp_path):
    people = [annotation(3), annotation(5, 9, area=1234.5), annotation(6, 9)]
    data = open_set(write(tmp_path / "coco", *people), "minival")
    assert [data.beside(index) for index in range(3)] == [(), (2,), (1,)]
    assert [data.area(index) for index in range(3)] == [None, 1234.5, None]


def test_the_crop_is_a_square_around_the_box(data):
    x0, y0, x1, y1 = data.square(0)
    assert x1 - x0 == y1 - y0 == pytest.approx(1.2 * 128)
    np.testing.assert_allclose([(x0 + x1) / 2, (y0 + y1) / 2], [10 + 32, 19.5 + 64])


@pytest.mark.parametrize("name", ["densepose_minival2014.json", "densepose_coco_2014_minival.json"])
def test_both_names_of_the_file_are_known(tmp_path, name):
    root = write(tmp_path / "coco", annotation(1), name=name)
    assert len(open_dense(f"densepose-coco:{root}", "minival", subject="body")) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dp_I": [1, 2]}, "dp_x, dp_y, dp_I"),
        ({"dp_I": [0, 1, 2]}, "parts are 1 to 24"),
        ({"dp_U": [0, 1, 40]}, r"u and v lie in \[0, 1\]"),
        ({"dp_V": [0, 1, float("nan")]}, "not finite"),
        ({"dp_x": [0, 1, 400]}, "run from 0 to 255"),
        ({"bbox": [0, 0, 0, 5]}, "empty box"),
        ({"image_id": 8}, "picture 8, which the file does not list"),
        ({"dp_masks": [[]] * 3}, "3 masks of parts, not 14"),
        ({"bbox": "wide"}, "no annotations of DensePose"),
    ],
)
def test_damaged_annotations_are_told_in_one_line(tmp_path, changes, words):
    root = write(tmp_path / "coco", annotation(1), annotation(2, **changes))
    with pytest.raises(InputError, match=words) as caught:
        open_set(root, "minival")
    assert "\n" not in str(caught.value)


def test_a_damaged_mask_names_the_annotation(tmp_path):
    masks = part_masks()
    masks[13]["counts"] = masks[13]["counts"][:-1]
    data = open_set(write(tmp_path / "coco", annotation(12, dp_masks=masks)), "minival")
    with pytest.raises(InputError, match="annotation 12: mask 14"):
        data.mask(0)


def test_a_person_without_masks_has_none(tmp_path):
    data = open_set(write(tmp_path / "coco", annotation(12, dp_masks=[[]] * 14)), "minival")
    assert data.mask(0) is None


def test_missing_files_are_named_with_where_to_get_them(tmp_path, data):
    with pytest.raises(InputError, match=r"densepose_train2014.json: no such file; .*densepose.org"):
        open_set(data.root)
    with pytest.raises(InputError, match="no split 'val'"):
        open_set(data.root, "val")
    (data.root / "val2014" / "COCO_val2014_000000000007.jpg").unlink()
    with pytest.raises(InputError, match=r"000000000007\.jpg"):
        data.picture(0)
    (data.root / "val2014").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="val2014: no such folder of pictures"):
        open_set(data.root, "minival")


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98, 1.0])
def test_run_lengths_come_back_as_the_mask(share):
    rng = np.random.default_rng(3)
    noise = rng.random((37, 53)) < share
    blob = cv2.circle(np.zeros((256, 256), np.uint8), (100, 90), int(100 * share), 1, -1) > 0
    for mask in (noise, blob):
        told = packed(mask)
        np.testing.assert_array_equal(decode_mask(told), mask)
        np.testing.assert_array_equal(decode_mask({**told, "counts": told["counts"].encode()}), mask)


def test_run_lengths_in_a_list_are_columns_first():
    mask = decode_mask({"size": [2, 3], "counts": [1, 2, 3]})
    np.testing.assert_array_equal(mask, [[False, True, False], [True, False, False]])


@pytest.mark.parametrize(
    "told",
    [
        {"size": [2, 2], "counts": [1, 2]},
        {"size": [2, 2], "counts": "\x01"},
        {"size": [2, 2], "counts": "o"},
        {"counts": [4]},
        {"size": [2, 2], "counts": [[1, 2, 3, 4]]},
    ],
)
def test_runs_that_fill_no_mask_are_refused(told):
    with pytest.raises(ValueError, match=r"runs|mask of COCO|character|cut short"):
        decode_mask(told)


def test_the_sample_of_a_predicted_dense_pose_is_read(samples):
    folder = samples / "densepose"
    maps, people = read_iuv(folder / "demo_im_IUV.png", folder / "demo_im_INDS.png")
    picture = read_image(folder / "demo_im.jpg")
    assert maps.part.shape == people.shape == picture.shape[:2]
    assert set(np.unique(maps.part)) == set(range(25))
    assert maps.uv[maps.part == 0].max() == 0
    assert maps.uv.max() == 1
    assert ((people > 0) | (maps.part == 0)).all()  # every part belongs to somebody


@pytest.mark.parametrize(("person", "trunk", "order"), [(19, "torso_front", 1), (17, "torso_back", -1)])
def test_the_names_of_parts_fit_a_person_seen_from_the_front_and_one_seen_from_behind(samples, person, trunk, order):
    folder = samples / "densepose"
    maps, people = read_iuv(folder / "demo_im_IUV.png", folder / "demo_im_INDS.png")
    seen = maps.part * (people == person)
    across = {}
    for part, name in enumerate(BODY_PARTS, start=1):
        columns = np.nonzero(seen == part)[1]
        if len(columns) > 60:
            across[name] = columns.mean()
    assert trunk in across
    twins = [(name, name.replace("right", "left")) for name in across if "right" in name]
    both = [(across[right], across[left]) for right, left in twins if left in across]
    assert len(both) >= 3
    assert all(order * (left - right) > 0 for right, left in both)  # a person's right is at our left if they face us


def test_other_pictures_are_no_dense_poses(samples, tmp_path):
    folder = samples / "densepose"
    with pytest.raises(InputError, match="parts 0 to 24"):
        read_iuv(folder / "demo_im.jpg")
    with pytest.raises(InputError, match="parts 0 to 24"):
        read_iuv(folder / "demo_im_INDS.png")
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((5, 6), np.uint8))
    with pytest.raises(InputError, match=r"is \(5, 6\)"):
        read_iuv(folder / "demo_im_IUV.png", tmp_path / "small.png")
    with pytest.raises(InputError, match="cannot be read"):
        read_iuv(tmp_path / "nowhere.png")
