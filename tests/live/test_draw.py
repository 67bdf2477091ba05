from dataclasses import replace

import numpy as np
import pytest
import torch

from humanpt.geometry.cameras import project
from humanpt.live.draw import Drawer, RecentTimes, Shell, called, faces_of, line_plate, mirrored_boxes, rims_of
from humanpt.render.overlay import colour_of, draw_mesh
from tests.live.views import HEIGHT, INTRINSICS, WIDTH, model, subject, view

LINE = "focal length 1280 px, assumed (the longer side): distances scale with it"


@pytest.fixture(scope="module")
def hands():
    return faces_of(model("hand_right"))


def coloured(picture, identity):
    """Where the shades of an identity's colour are: the ratios of its channels."""
    shades = picture.astype(float) + 1
    wanted = np.array(colour_of(identity)) + 1.0
    return (np.abs(shades / shades.sum(-1, keepdims=True) - wanted / wanted.sum()) < 0.15).all(-1)


def test_a_hand_is_drawn_in_the_colour_of_its_identity_where_it_is(hands):
    seen = view(subject(5, "hand_right", (-0.1, 0.0, 0.6)))
    ys, xs = coloured(Drawer(hands, bars=False)(seen), 5).nonzero()
    left, top, right, bottom = seen.subjects[0].box
    beside = (xs < left - 1) | (xs > right + 1) | (ys > bottom + 1)
    inside = ~beside & (ys > top - 1)
    assert not (beside & (ys > top + 1)).any()  # the label, above or below, may be wider
    assert inside.sum() > 1000


def test_the_shot_stays_as_it_was_taken(hands):
    seen = view(subject(1, "hand_right", (0.0, 0.0, 0.5)))
    before = seen.shot.picture.copy()
    drawn = Drawer(hands, mirrored=True)(seen)
    np.testing.assert_array_equal(seen.shot.picture, before)
    assert drawn.shape == before.shape
    assert not np.shares_memory(drawn, seen.shot.picture)


def test_a_mirror_shows_what_is_on_the_left_on_the_right(hands, monkeypatch):
    monkeypatch.setattr("humanpt.live.draw.lay", lambda *_: None)
    seen = view(subject(2, "hand_right", (-0.12, 0.0, 0.6)))
    drawer = Drawer(hands, bars=False)
    plain = drawer(seen)
    drawer.mirrored = True
    turned = drawer(seen)[:, ::-1]
    box = seen.subjects[0].box
    rows = slice(int(box[1]) + 20, int(box[3]) + 1)  # below the label, whose text does not turn
    np.testing.assert_array_equal(turned[rows], plain[rows])


def test_text_is_readable_in_the_mirror(hands):
    seen = view()
    plain, mirrored = Drawer(hands)(seen), Drawer(hands, mirrored=True)(seen)
    np.testing.assert_array_equal(plain, mirrored)  # grey all over: nothing but the text could differ
    assert (plain != seen.shot.picture).any()


def test_mirrored_boxes_hold_the_mirrored_pixels():
    picture = np.zeros((4, 10), int)
    picture[1:3, 2:5] = 1
    (left, top, right, bottom), *_ = mirrored_boxes(np.array([[1.5, 0.5, 4.5, 2.5]]), 10)
    ys, xs = picture[:, ::-1].nonzero()
    assert (xs.min() - 0.5, ys.min() - 0.5, xs.max() + 0.5, ys.max() + 0.5) == (left, top, right, bottom)


def test_the_focal_line_is_on_every_picture(hands):
    drawer = Drawer(hands, bars=False)
    assumed, given = drawer(view()), drawer(view(focal_from="given"))
    assert (assumed[:-50] == 90).all()
    assert (assumed[-50:] != given[-50:]).any()


@pytest.mark.parametrize(("width", "rows"), [(96, 5), (240, 2), (720, 1)])
def test_the_focal_line_is_broken_where_the_picture_ends(width, rows):
    plate = line_plate(LINE, width)
    assert plate.shape[1] <= width
    assert len(plate) >= 15 * rows


def test_the_focal_line_grows_with_wide_pictures():
    (low, narrow), (high, wide) = (line_plate(LINE, width).shape[:2] for width in (720, 2160))
    assert high > 2.5 * low
    assert wide > 2.5 * narrow


def test_bars_tell_how_long_the_parts_take(hands):
    slow, quick = (Drawer(hands)(view(seconds={"network": seconds})) for seconds in (0.09, 0.01))
    blue = (90, 176, 240)
    assert (slow == blue).all(-1).sum() > 5 * (quick == blue).all(-1).sum() > 0


def test_plates_say_what_is_so_now(hands):
    drawer = Drawer(hands)
    drawer(view(seconds={"network": 0.09}))
    for _ in range(200):
        drawn = drawer(view(seconds={"network": 0.01}, focal_from="given"))
    fresh = Drawer(hands)(view(seconds={"network": 0.01}, focal_from="given"))
    np.testing.assert_array_equal(drawn, fresh)


def test_plates_larger_than_the_picture_do_no_harm(hands):
    small = np.full((20, 30, 3), 90, np.uint8)
    assert (Drawer(hands)(view(picture=small)) != small).any()


def test_without_times_there_are_no_bars(hands):
    drawer = Drawer(hands)
    np.testing.assert_array_equal(drawer(replace(view(), seconds={}))[:100], 90)


def test_a_kind_without_triangles_has_its_box_alone(hands):
    hand = subject(1, "hand_left", (0.0, 0.0, 0.6))
    drawn = Drawer({"hand_right": hands["hand_right"]}, bars=False)(view(hand))
    middle = drawn[HEIGHT // 2 - 10 : HEIGHT // 2 + 10, WIDTH // 2 - 10 : WIDTH // 2 + 10]
    assert (middle == 90).all()
    assert coloured(drawn, 1).sum() > 100


@pytest.mark.parametrize("turn", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("kind", ["body", "hand_right", "hand_left"])
def test_meshes_look_the_same_with_and_without_their_backs(kind, turn):
    shell = Shell(faces_of(model(kind[:4] if kind == "body" else "hand_right"))[kind])
    one = subject(1, kind, (0.0, 0.0, 3.0 if kind == "body" else 0.5), turn=turn)
    ground, camera = np.full((HEIGHT, WIDTH, 3), 90, np.uint8), torch.from_numpy(INTRINSICS)
    both, front = (
        draw_mesh(ground, shell.vertices(one.vertices), shell.faces, camera, cull=cull) for cull in (False, True)
    )
    np.testing.assert_array_equal(both, front)
    assert (both != ground).any()


def test_a_lid_on_the_wrist_is_all_that_closing_a_hand_adds(hands):
    one = subject(1, "hand_right", (0.0, 0.0, 0.5))
    ground, camera = np.full((HEIGHT, WIDTH, 3), 90, np.uint8), torch.from_numpy(INTRINSICS)
    faces = torch.from_numpy(hands["hand_right"])
    shell = Shell(hands["hand_right"])
    opened = draw_mesh(ground, torch.from_numpy(one.vertices), faces, camera)
    closed = draw_mesh(ground, shell.vertices(one.vertices), shell.faces, camera, cull=True)
    (rim,) = rims_of(hands["hand_right"])
    x, y = project(torch.from_numpy(one.vertices)[rim][None], camera[None])[0].numpy().T
    ys, xs = (opened != closed).any(-1).nonzero()
    assert ((xs >= x.min() - 1) & (xs <= x.max() + 1) & (ys >= y.min() - 1) & (ys <= y.max() + 1)).all()


def test_bodies_are_closed_and_hands_are_open_at_the_wrist(hands):
    assert rims_of(faces_of(model("body"))["body"]) == []
    for kind in ("hand_right", "hand_left"):
        (rim,) = rims_of(hands[kind])
        assert len(rim) == len(set(rim)) > 5
        assert rims_of(Shell(hands[kind]).faces.numpy()) != []  # its lid has vertices of its own
        merged = Shell(hands[kind]).faces.numpy()
        count = hands[kind].max() + 1
        merged = np.where(merged < count, merged, np.array(rim)[(merged - count).clip(0)])
        assert rims_of(merged) == []


def test_left_hands_have_their_outsides_outside(hands):
    np.testing.assert_array_equal(
        np.sort(hands["hand_left"], axis=1), np.sort(model("hand_left").faces.numpy(), axis=1)
    )
    hand = subject(1, "hand_left", (0.0, 0.0, 0.0))
    a, b, c = (hand.vertices[hands["hand_left"][:, i]].astype(float) for i in range(3))
    assert (np.cross(b, c) * a).sum() > 0  # six times the volume, positive where faces look outward


def test_subjects_are_called_by_number_and_side():
    kinds = ("body", "hand", "hand_left", "hand_right")
    subjects = [replace(subject(3, "hand_right", (0.0, 0.0, 0.6)), kind=kind) for kind in kinds]
    assert [called(one) for one in subjects] == ["3", "3 hand", "3 left", "3 right"]


def test_recent_times_are_medians_and_forget():
    times = RecentTimes()
    assert times.rate == 0
    for number in range(401):
        seen = view(number=number, seconds={"network": 0.5 if number < 300 else 0.02})
        times.add(seen)
    assert times.medians == {"network": pytest.approx(0.02)}
    assert times.rate == pytest.approx(25)
