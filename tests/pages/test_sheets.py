"""Contact sheets: pictures in rows, and truth in colours."""

import cv2
import numpy as np
import pytest

from humanpt.data.people.generate import Cast
from humanpt.pages import sheets
from tests.people import config, made

SIZE = 32


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    """One cross-pose and one cross-view pair of hands."""
    return made(tmp_path_factory.mktemp("pairs") / "pairs.h5", "hand", 0, 2)


def flat(*colours):
    return [np.full((SIZE, SIZE, 3), colour, np.uint8) for colour in colours]


@pytest.mark.parametrize("name", ["sheet.png", "sheet.jpg"])
def test_rows_of_pictures_are_written_with_white_between_them(tmp_path, name):
    sheets.write_sheet(tmp_path / name, [flat((200, 0, 0), (0, 200, 0)), flat((0, 0, 200))], quality=100)
    sheet = cv2.imread(str(tmp_path / name))[..., ::-1].astype(int)
    assert sheet.shape == (2 * SIZE + sheets.GAP, 2 * SIZE + sheets.GAP, 3)
    middle = SIZE // 2
    wanted = {(middle, middle): (200, 0, 0), (middle, -middle): (0, 200, 0), (-middle, -middle): (255, 255, 255)}
    for (y, x), colour in wanted.items():
        np.testing.assert_allclose(sheet[y, x], colour, atol=4)
    assert (sheet[:, SIZE + 1] > 200).all()


def test_a_sheet_without_pictures_is_the_callers_mistake(tmp_path):
    with pytest.raises(ValueError, match="at least one picture"):
        sheets.write_sheet(tmp_path / "sheet.png", [])


def test_scenes_are_shown_from_several_sides():
    settings = config("hand")
    rows = sheets.views(settings, Cast(settings), (0, 3), 4, SIZE)
    assert [len(row) for row in rows] == [4, 4]
    assert all(picture.shape == (SIZE, SIZE, 3) and picture.std() > 3 for row in rows for picture in row)
    assert not np.array_equal(rows[0][0], rows[0][1])


def test_pairs_are_shown_side_by_side(shard):
    rows = sheets.pairs(shard, [0, 1], 1, SIZE)
    assert [len(row) for row in rows] == [2, 2]


def test_truth_is_shown_in_a_row(shard):
    row = sheets.truth_row(shard, 1, SIZE)
    assert len(row) == 10
    assert all(picture.shape == (SIZE, SIZE, 3) and picture.dtype == np.uint8 for picture in row)
    assert all(picture.std() > 3 for picture in row)


def test_near_things_are_brighter_and_nothing_is_black():
    depth = np.array([[1.0, 2.0, np.inf]], np.float32)
    shown = sheets.depth_in_colour(depth).sum(-1)[0]
    assert shown[0] > shown[1] >= shown[2]
    assert not sheets.depth_in_colour(np.full((2, 2), np.inf, np.float32)).any()


def test_parts_have_colours_of_their_own():
    colours = sheets.parts_in_colour(np.arange(24)[None])[0]
    assert len(np.unique(colours, axis=0)) == 24
