"""Boxes from files: the three formats, which rows belong to which clip, and what is refused."""

import csv
import json

import numpy as np
import pytest

from humanpt.detect.boxes import BoxesDetector
from humanpt.errors import InputError


@pytest.fixture
def walk(samples):
    """(2, 72, 4) true boxes of `walk2cam` in humanpt's pixels: the file's end one past the last pixel."""
    truth = json.loads((samples / "synthetic" / "walk2cam" / "gt.json").read_text())
    return np.array(truth["boxes"], np.float32) - 0.5


def as_mot(boxes):
    """One clip's edges as MOT text."""
    rows = [
        (number, 7, x1 + 1.5, y1 + 1.5, x2 - x1, y2 - y1, 1, -1, -1, -1)
        for number, (x1, y1, x2, y2) in enumerate(boxes, 1)
    ]
    return "\n".join(",".join(f"{value:g}" for value in row) for row in rows)


def as_coco(clips):
    """Edges of clips by name as COCO JSON, a folder per clip."""
    images, annotations = [], []
    for clip, boxes in clips.items():
        for number, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
            key = len(images)
            images.append({"id": key, "file_name": f"{clip}/{number:06d}.jpg", "width": 256, "height": 256})
            bbox = [x1 + 0.5, y1 + 0.5, x2 - x1, y2 - y1]
            annotations.append({"id": key, "image_id": key, "category_id": 3, "bbox": bbox, "track_id": 7})
    categories = [{"id": 3, "name": "person"}, {"id": 4, "name": "car"}]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})


def as_csv(clips, columns):
    """Edges of clips by name as CSV with the named columns."""
    lines = [",".join(columns)]
    for clip, boxes in clips.items():
        for number, (x1, y1, x2, y2) in enumerate(boxes):
            values = {"clip": clip, "frame": number, "x1": x1, "y1": y1, "x2": x2, "y2": y2, "x": x1, "y": y1}
            values |= {"w": x2 - x1, "h": y2 - y1, "kind": "person", "track": 7, "score": 0.75}
            lines.append(",".join(str(values[name]) for name in columns))
    return "\n".join(lines)


def read(detector, frame, clip, count=72):
    detector.start(clip, 256, 256)
    found = [detector.detect(frame(256, 256, number=number)) for number in range(count)]
    assert all(len(f) == 1 and f.kinds == ("body",) and f.ids == (7,) for f in found)
    assert detector.remark is None
    assert detector.unseen == 0
    return np.concatenate([f.boxes for f in found])


def test_mot_files_in_a_folder_give_back_the_true_boxes_of_both_cameras(walk, tmp_path, frame):
    for camera in (0, 1):
        (tmp_path / f"cam{camera}.txt").write_text(as_mot(walk[camera]))
    detector = BoxesDetector(tmp_path, "body")
    for camera in (0, 1):
        np.testing.assert_array_equal(read(detector, frame, f"walk2cam/cam{camera}.mp4"), walk[camera])


def test_coco_with_a_folder_per_clip_gives_back_the_true_boxes(walk, tmp_path, frame):
    file = tmp_path / "boxes.json"
    file.write_text(as_coco({"cam0": walk[0], "cam1": walk[1]}))
    detector = BoxesDetector(file, "body")
    for camera in (1, 0):
        np.testing.assert_array_equal(read(detector, frame, f"cam{camera}.mp4"), walk[camera])


@pytest.mark.parametrize(
    "columns",
    [
        ("clip", "frame", "x1", "y1", "x2", "y2", "kind", "track", "score"),
        ("track", "h", "w", "y", "x", "frame", "clip"),
    ],
)
def test_csv_columns_are_found_by_name_in_any_order(columns, walk, tmp_path, frame):
    file = tmp_path / "boxes.csv"
    file.write_text(as_csv({"walk2cam/cam0.mp4": walk[0], "walk2cam/cam1.mp4": walk[1]}, columns))
    detector = BoxesDetector(file, "body")
    detector.check(["cam0.mp4", "cam1.mp4"])
    for camera in (0, 1):
        np.testing.assert_array_equal(read(detector, frame, f"cam{camera}.mp4"), walk[camera])
    assert detector.detect(frame(256, 256)).scores == np.float32(0.75 if "score" in columns else 1)


def test_a_box_at_the_pictures_corner_starts_at_minus_one_half_in_every_format(tmp_path, frame):
    (tmp_path / "a.txt").write_text("1,-1,1,1,10,20,1")
    (tmp_path / "a.csv").write_text("frame,x,y,w,h\n0,-0.5,-0.5,10,20")
    coco = {"images": [{"id": 1, "frame_id": 0}], "annotations": [{"image_id": 1, "bbox": [0, 0, 10, 20]}]}
    (tmp_path / "a.json").write_text(json.dumps(coco))
    for suffix in ("txt", "csv", "json"):
        detector = BoxesDetector(tmp_path / f"a.{suffix}", "hand")
        detector.start("clip.mp4", 64, 48)
        found = detector.detect(frame())
        np.testing.assert_array_equal(found.boxes, [[-0.5, -0.5, 9.5, 19.5]])
        assert found.kinds == ("hand",)
        assert found.ids == (None,)


def test_the_coco_sample_gives_its_people_by_file_name_and_leaves_missing_pictures_aside(samples, frame):
    detector = BoxesDetector(samples / "coco" / "test_coco.json", "body")
    detector.start("coco", 640, 425)
    one = detector.detect(frame(640, 425, number=0, name="000000000785.jpg"))
    np.testing.assert_allclose(one.boxes, [[280.29, 44.23, 498.99, 390.91]], atol=1e-3)
    assert len(detector.detect(frame(640, 429, number=1, name="000000196141.jpg"))) == 5
    assert len(detector.detect(frame(640, 429, number=2, name="another.jpg"))) == 0
    assert detector.unseen == 2
    assert detector.remark is None


def test_whole_body_annotations_give_their_hands_with_sides(samples, frame):
    detector = BoxesDetector(samples / "coco" / "test_coco_wholebody.json", "hand")
    detector.start("coco", 640, 425)
    found = detector.detect(frame(640, 425, name="000000000785.jpg"))
    assert found.kinds == ("hand_right",)
    np.testing.assert_allclose(found.boxes, [[279.93, 172.62, 307.79, 197.47]], atol=1e-3)
    assert found.ids == (None,)


@pytest.mark.parametrize(
    ("images", "first"),
    [
        ([{"frame_id": 0}, {"frame_id": 3}], 0),
        ([{"frame": 1}, {"frame": 4}], 0),
        ([{"file_name": "frame_000000.jpg"}, {"file_name": "frame_000003.jpg"}], 0),
        ([{"file_name": "000001.jpg"}, {"file_name": "000004.jpg"}], 0),
        ([{"frame_id": 5}, {"frame_id": 8}], 5),
    ],
)
def test_coco_frames_of_a_video_go_by_number_counted_from_zero_unless_the_lowest_is_one(images, first, tmp_path, frame):
    annotations = [{"image_id": key, "bbox": [key, 0, 4, 4]} for key in range(2)]
    images = [{"id": key, **image} for key, image in enumerate(images)]
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations}))
    detector = BoxesDetector(file, "body")
    detector.start("clip.mp4", 64, 48)
    counts = [len(detector.detect(frame(number=number))) for number in range(10)]
    assert counts == [number in (first, first + 3) for number in range(10)]


def test_coco_videos_name_their_clips(tmp_path, frame):
    content = {
        "videos": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        "images": [{"id": 1, "video_id": 1, "frame_id": 0}, {"id": 2, "video_id": 2, "frame_id": 0}],
        "annotations": [{"image_id": 2, "bbox": [1, 2, 3, 4], "instance_id": 5}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    detector = BoxesDetector(tmp_path / "boxes.json", "body")
    for clip, ids in (("x/a.mp4", ()), ("x/b.mp4", (5,))):
        detector.start(clip, 64, 48)
        assert detector.detect(frame()).ids == ids
        assert detector.remark is None


def test_only_the_wanted_subject_comes_through(tmp_path, frame):
    (tmp_path / "b.csv").write_text("frame;x;y;w;h;kind\n0;1;1;5;5;person\n0;2;2;5;5;left hand\n0;3;3;5;5;hand")
    for subject, kinds in (("body", ("body",)), ("hand", ("hand_left", "hand"))):
        detector = BoxesDetector(tmp_path / "b.csv", subject)
        detector.start("clip.mp4", 64, 48)
        assert detector.detect(frame()).kinds == kinds


def test_mot_lines_with_score_zero_and_boxes_without_area_are_left_out(tmp_path, frame):
    (tmp_path / "gt.txt").write_text("1,1,5,5,9,9,0,1,1\n1,2,5,5,9,9,1,1,1\n1,3,5,5,0,9,1,1,1\n\n2 -1 5 5 9 9 -1\n")
    detector = BoxesDetector(tmp_path / "gt.txt", "body")
    detector.start("clip.mp4", 64, 48)
    assert detector.detect(frame()).ids == (2,)
    assert detector.detect(frame(number=1)).scores == 1


WRONG = {
    "short.txt": ("1,1,5,5,9", "line 1: 5 columns"),
    "word.txt": ("1,1,5,5,9,9,1\n2,1,five,5,9,9,1", "line 2: x is 'five'"),
    "nan.txt": ("1,1,5,5,nan,9,1", "line 1: w is 'nan'"),
    "zero.txt": ("0,1,5,5,9,9,1", "line 1: the frame is '0'"),
    "negative.txt": ("1,1,5,5,-9,9,1", "line 1: the box is -9 x 9 pixels"),
    "twice.txt": ("1,4,5,5,9,9,1\n1,4,8,5,9,9,1", "line 2: the frame has the id 4 twice"),
    "empty.txt": ("", "no boxes in it"),
    "header.csv": ("0,1,2,3,4\n", "line 1: the columns are 0,1,2,3,4"),
    "empty.csv": ("", "line 1: there is no header"),
    "rows.csv": ("frame,x,y,w,h\n", "no boxes in it"),
    "flipped.csv": ("frame,x1,y1,x2,y2\n0,1,1,5,5\n\n1,5,5,1,9\n", "line 4: the box is -4 x 4"),
    "half.csv": ("frame,x,y,w,h\n0.5,1,1,5,5", "line 2: the frame is '0.5'"),
    "long.csv": ("frame,x,y,w,h\n0,1,1,5,5,6", "line 2: 6 columns; the header names 5"),
    "kind.csv": ("frame,x,y,w,h,kind\n0,1,1,5,5,cat", "line 2: the kind is 'cat'"),
    "score.csv": ("frame,x,y,w,h,score\n0,1,1,5,5,87", "line 2: the score is '87'"),
    "clip.csv": ("clip,frame,x,y,w,h\n,0,1,1,5,5", "line 2: the clip is empty"),
    "broken.json": ('{"images": [],\n "annotations": [', "line 2: is not JSON"),
    "list.json": ('[{"image_id": 1, "bbox": [1, 2, 3, 4]}]', "is not COCO JSON"),
    "bbox.json": (
        '{"images": [{"id": 1}], "annotations": [{"image_id": 1, "bbox": [1, 2]}]}',
        r"annotations\[0\]: bbox",
    ),
    "nan.json": ('{"images": [{"id": 1}], "annotations": [{"image_id": 1, "bbox": [1, 2, NaN, 4]}]}', "bbox is nan"),
    "image.json": ('{"images": [], "annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4]}]}', "image_id is 1"),
    "cats.json": ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}', "categories are cat"),
    "endless.csv": ("frame,x,y,w,h\n" + "0" * 200_000 + ",1,1,5,5", "cannot be read"),
    "nested.json": ("[" * 100_000, "cannot be read"),
    "boxes.xml": ("<boxes/>", r"\.txt \(MOT\), \.csv and \.json"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_refused_in_one_line_that_names_file_and_place(name, tmp_path):
    text, message = WRONG[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        BoxesDetector(tmp_path / name, "body")
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_binary_missing_and_empty_places_are_refused(tmp_path):
    (tmp_path / "picture.txt").write_bytes(bytes(range(256)))
    (tmp_path / "empty").mkdir()
    for name, message in (("picture.txt", "is not text"), ("none.json", "cannot be read"), ("empty", "no .txt file")):
        with pytest.raises(InputError, match=message):
            BoxesDetector(tmp_path / name, "body")


def test_a_file_that_has_nothing_about_a_clip_says_so_in_one_line(tmp_path, frame):
    (tmp_path / "c.csv").write_text("clip,frame,x,y,w,h\ncam0,10,1,1,5,5")
    detector = BoxesDetector(tmp_path / "c.csv", "body")
    for clip, message in (("cam7.mp4", "clips such as cam0"), ("cam0.mp4", "frames 10 to 10, counted from 0")):
        detector.start(clip, 64, 48)
        assert len(detector.detect(frame(number=3))) == 0
        assert detector.remark is not None
        assert message in detector.remark
        assert clip in detector.remark
    with pytest.raises(InputError, match=r"has the clips cam0, but not cam7\.mp4"):
        detector.check(["cam7.mp4"])


def test_an_empty_mot_file_in_a_folder_means_that_nobody_is_there(tmp_path, frame):
    (tmp_path / "cam0.txt").write_text("")
    detector = BoxesDetector(tmp_path, "body")
    detector.start("cam0.mp4", 64, 48)
    assert len(detector.detect(frame())) == 0
    assert detector.remark is None


def test_rows_are_never_shared_by_two_clips(tmp_path, frame):
    (tmp_path / "one.txt").write_text("1,1,5,5,9,9,1")
    (tmp_path / "named.csv").write_text("clip,frame,x,y,w,h\ncam0,0,1,1,5,5")
    for name in ("one.txt", "named.csv"):
        detector = BoxesDetector(tmp_path / name, "body")
        with pytest.raises(InputError, match=r"would serve a/cam0\.mp4 and b/cam0\.mp4"):
            detector.check(["a/cam0.mp4", "b/cam0.mp4"])
        detector.start("a/cam0.mp4", 64, 48)
        detector.detect(frame())
        detector.start("b/cam0.mp4", 64, 48)
        with pytest.raises(InputError, match="the same rows would serve"):
            detector.detect(frame())


def test_the_longer_name_wins_and_a_tie_is_refused(tmp_path, frame):
    (tmp_path / "c.csv").write_text("clip,frame,x,y,w,h\na/cam0,0,1,1,5,5\nb/cam0.mp4,0,2,2,5,5")
    detector = BoxesDetector(tmp_path / "c.csv", "body")
    detector.start("x/b/cam0.mp4", 64, 48)
    assert detector.detect(frame()).boxes[0, 0] == 2
    detector = BoxesDetector(tmp_path / "c.csv", "body")
    detector.start("cam0.mp4", 64, 48)
    assert detector.detect(frame()).boxes[0, 0] == 2  # its suffix agrees, too
    (tmp_path / "d.csv").write_text("clip,frame,x,y,w,h\na/cam0,0,1,1,5,5\nb/cam0,0,2,2,5,5")
    with pytest.raises(InputError, match=r"both a/cam0 and b/cam0 could be cam0\.mp4"):
        BoxesDetector(tmp_path / "d.csv", "body").start("cam0.mp4", 64, 48)


def test_pictures_of_another_size_than_the_file_says_are_refused(samples, frame):
    detector = BoxesDetector(samples / "coco" / "test_coco.json", "body")
    detector.start("coco", 320, 212)
    with pytest.raises(InputError, match="is 320 x 212 pixels, not 640 x 425"):
        detector.detect(frame(320, 212, name="000000000785.jpg"))


def test_a_spreadsheets_csv_with_a_byte_order_mark_and_quotes_is_read(tmp_path, frame):
    with (tmp_path / "s.csv").open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("Frame", "X", "Y", "W", "H"), (0, 1, 1, 5, 5)])
    detector = BoxesDetector(tmp_path / "s.csv", "body")
    detector.start("clip.mp4", 64, 48)
    assert len(detector.detect(frame())) == 1
