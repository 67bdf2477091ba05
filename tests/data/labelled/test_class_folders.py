"""Folders and tables of pictures with classes."""

import pickle

import numpy as np
import pytest

from humanpt.data.image import encode_jpeg
from humanpt.data.labelled.class_folders import open_classes
from humanpt.errors import InputError


def write(folder, *names):
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_jpeg(np.full((16, 24, 3), 5 * number, np.uint8)))
    return folder


def table(folder, text):
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def gestures(tmp_path):
    names = [f"{kind}/{number}.jpg" for kind in ("wave", "fist", "point") for number in range(6)]
    return open_classes(write(tmp_path / "set", *names))


def test_the_sample_gestures_have_four_classes_of_six(samples):
    data = open_classes(samples / "gestures")
    assert data.class_names == ("call", "four", "none", "rock")
    assert np.bincount(data.labels).tolist() == [6, 6, 6, 6]
    assert len(set(data.groups)) == len(data) == 24
    assert all(data.picture(index).ndim == 3 for index in range(0, 24, 6))
    assert data.name(0).startswith("call/")


def test_classes_are_sorted_and_pictures_are_those_of_their_names(gestures):
    assert gestures.class_names == ("fist", "point", "wave")
    for index in range(len(gestures)):
        assert gestures.name(index).split("/")[0] == gestures.class_names[gestures.labels[index]]
    assert gestures.picture(gestures.labels.tolist().index(1))[0, 0, 0] == pytest.approx(60, abs=2)
    assert pickle.loads(pickle.dumps(gestures)).name(17) == gestures.name(17)


def test_hidden_files_and_other_files_are_no_pictures(tmp_path):
    root = write(tmp_path / "set", "a/1.jpg", "b/deep/2.jpg", "b/.hidden/3.jpg", ".c/4.jpg")
    (root / "SOURCE.txt").write_text("a note")
    (root / "a" / "notes.txt").write_text("another")
    data = open_classes(root)
    assert [data.name(index) for index in range(len(data))] == ["a/1.jpg", "b/deep/2.jpg"]


def test_folders_of_splits_are_no_classes(tmp_path):
    root = write(tmp_path / "set", "train/a/1.jpg", "train/b/2.jpg", "valid/b/3.jpg")
    assert len(open_classes(root, "all")) == 3
    assert [open_classes(root).name(index) for index in range(2)] == ["train/a/1.jpg", "train/b/2.jpg"]
    validation = open_classes(root, "val")
    assert validation.class_names == ("a", "b")  # those of all splits, so that the numbers of classes agree
    assert [validation.name(0), validation.labels.tolist()] == ["valid/b/3.jpg", [1]]


def test_a_table_tells_splits_sides_and_groups(tmp_path):
    write(tmp_path, "x/1.jpg", "x/2.jpg", "x/3.jpg")
    rows = (
        "image,label,split,side,group\nx/1.jpg,open,train,left,anna\nx/2.jpg,shut,test,,anna\nx/3.jpg,open,val,Right,\n"
    )
    path = table(tmp_path, rows)
    every = open_classes(path, "all")
    by_name = {every.name(index): index for index in range(3)}
    assert every.class_names == ("open", "shut")
    assert [every.sides[by_name[f"x/{number}.jpg"]] for number in (1, 2, 3)] == ["left", "unknown", "right"]
    assert every.groups[by_name["x/1.jpg"]] == every.groups[by_name["x/2.jpg"]] != every.groups[by_name["x/3.jpg"]]
    assert open_classes(path).name(0) == "x/1.jpg"
    assert open_classes(path, "test").name(0) == "x/2.jpg"
    assert open_classes(path, "test").labels.tolist() == [1]


@pytest.mark.parametrize("share", [0.1, 0.34, 0.5])
def test_a_split_has_every_class_on_both_sides_and_is_the_same_again(gestures, share):
    training, heldout = gestures.split(share, 3)
    assert sorted([*training, *heldout]) == list(range(18))
    assert set(gestures.labels[training]) == set(gestures.labels[heldout]) == {0, 1, 2}
    assert gestures.split(share, 3)[1].tolist() == heldout.tolist()
    assert gestures.split(share, 4)[1].tolist() != heldout.tolist()


def test_a_share_of_nothing_holds_nothing_out(gestures):
    training, heldout = gestures.split(0.0, 0)
    assert len(training) == 18
    assert len(heldout) == 0


def test_a_group_is_never_parted(tmp_path):
    names = [f"x/{number}.jpg" for number in range(24)]
    write(tmp_path, *names)
    lines = [f"{name},{'ab'[number % 2]},p{number // 4}" for number, name in enumerate(names)]
    data = open_classes(table(tmp_path, "\n".join(["image,label,group", *lines])))
    for training, heldout in [data.split(0.3, 1), *(data.fold(number, 3, 1) for number in range(3))]:
        assert not set(data.groups[training]) & set(data.groups[heldout])
        assert len(training)
        assert len(heldout)


def test_folds_hold_every_picture_out_once_class_by_class(gestures):
    folds = [gestures.fold(number, 3, 5) for number in range(3)]
    assert sorted(np.concatenate([heldout for _, heldout in folds])) == list(range(18))
    for training, heldout in folds:
        assert np.bincount(gestures.labels[heldout]).tolist() == [2, 2, 2]
        assert len(training) + len(heldout) == 18
    with pytest.raises(InputError, match="18 groups of pictures cannot make 19 folds"):
        gestures.fold(0, 19, 5)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "no pictures"),
        (["a/1.jpg"], "only one class, a"),
        (["a/1.jpg", "b/note.txt"], "b: a class without pictures"),
    ],
)
def test_folders_that_cannot_teach_are_told_in_one_line(tmp_path, names, words):
    (tmp_path / "set").mkdir()
    with pytest.raises(InputError, match=words) as caught:
        open_classes(write(tmp_path / "set", *names))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("picture,label\n1.jpg,a\n", "no column 'image'"),
        ("image,class\n1.jpg,a\n", "no column 'label'"),
        ("image,label\n1.jpg,\n", "line 2: no label"),
        ("image,label\n1.jpg,a\n9.jpg,b\n", "line 3: no picture .*9.jpg"),
        ("image,label\n1.jpg,a\n1.jpg,b\n", "line 3: 1.jpg comes twice"),
        ("image,label,side\n1.jpg,a,up\n", "line 2: side is 'up'"),
        ("image,label,split\n1.jpg,a,later\n", "line 2: split is 'later'"),
        ("image,label,split\n1.jpg,a,test\n2.jpg,b,\n", "line 3: some lines tell a split"),
        ("image,label,split\n1.jpg,a,test\n2.jpg,b,val\n", "no pictures of the split 'train'"),
        ("image,label\n1.jpg,a\n2.jpg,a\n", "only one class"),
        ("", "no column 'image'"),
    ],
)
def test_tables_that_cannot_teach_are_told_in_one_line(tmp_path, text, words):
    write(tmp_path, "1.jpg", "2.jpg")
    with pytest.raises(InputError, match=words) as caught:
        open_classes(table(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_missing_things_are_named(tmp_path, gestures):
    with pytest.raises(InputError, match="no such folder of classes"):
        open_classes(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"nowhere.csv: cannot be read"):
        open_classes(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match="no split 'extra'"):
        open_classes(gestures.root, "extra")
    with pytest.raises(InputError, match="no pictures of the split 'test'"):
        open_classes(gestures.root, "test")
    gestures.paths[4].write_bytes(b"no picture")
    with pytest.raises(InputError, match="not a picture"):
        gestures.picture(4)
