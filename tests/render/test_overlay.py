import numpy as np
import pytest
import torch
from torch.testing import assert_close

from humanpt.geometry.cameras import intrinsics_from_fov
from humanpt.render.overlay import bones_of, draw_boxes, draw_mesh, draw_points, draw_skeleton
from humanpt.render.rasterize import interpolate, rasterize
from humanpt.render.zbuffer import seen_faces
from tests.render.meshes import plane, sphere, views

RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture
def grey():
    return np.full((64, 64, 3), 90, np.uint8)


def changed(picture, grey):
    return (picture != grey).any(axis=-1)


def test_a_mesh_is_drawn_where_it_is_and_the_rest_stays(grey):
    vertices, faces = sphere(16)
    seen, intrinsics = views(vertices, [[0.0, 0.0, -2.5]])
    drawn = draw_mesh(grey, seen[0], faces, intrinsics[0], colours=[RED])
    assert changed(drawn, grey)[32, 32]
    assert not changed(drawn, grey)[:8].any()
    assert drawn[32, 32, 0] > drawn[32, 10:22, 0].max() > 90  # lit from the camera
    assert (grey == 90).all()


def test_the_nearer_of_two_meshes_hides_the_other(grey):
    vertices, faces = plane(0.5)
    near, far = vertices + torch.tensor([0.0, 0.0, 2.0]), 2 * vertices + torch.tensor([0.0, 0.0, 2.5])
    intrinsics = intrinsics_from_fov(0.6, 64)
    for order in (1, -1):
        meshes, colours = [near, far][::order], [RED, BLUE][::order]
        drawn = draw_mesh(grey, meshes, [faces, faces], intrinsics, colours=colours, opacity=1.0)
        assert drawn[32, 32].tolist() == list(RED)
        assert drawn[32, 12].tolist() == list(BLUE)


@pytest.mark.parametrize("cull", [False, True])
@pytest.mark.parametrize("at", [(0.0, 0.0, 2.0), (-1.1, 0.6, 1.6), (0.0, 0.0, 0.3), (0.0, 0.0, -2.0), (9.0, 0.0, 2.0)])
def test_pixels_that_show_something_are_those_of_the_whole_raster(at, cull):
    vertices, faces = sphere(16)
    seen, intrinsics = vertices[None] + torch.tensor(at), intrinsics_from_fov(0.9, 64)[None]
    carried = torch.sin(5 * vertices[:, 0])
    pixel, face, value = seen_faces(seen, faces, intrinsics, 48, 64, carried, cull=cull)
    raster = rasterize(seen, faces, intrinsics, 48, 64, cull=cull)
    assert torch.equal(pixel, raster.face.view(-1).add(1).nonzero()[:, 0])
    assert torch.equal(face, raster.face.view(-1)[pixel])
    assert_close(value, interpolate(raster, faces, carried[:, None]).view(-1)[pixel], atol=1e-5, rtol=0)


def test_a_closed_mesh_looks_the_same_without_its_back(grey):
    vertices, faces = sphere(16)
    seen, intrinsics = views(vertices, [[0.2, 0.1, -1.5]])
    both, front = (draw_mesh(grey, seen[0], faces, intrinsics[0], cull=cull) for cull in (False, True))
    np.testing.assert_array_equal(both, front)


def test_without_opacity_nothing_is_drawn(grey):
    vertices, faces = plane(0.5)
    shifted = vertices + torch.tensor([0.0, 0.0, 2.0])
    np.testing.assert_array_equal(draw_mesh(grey, shifted, faces, intrinsics_from_fov(0.6, 64), opacity=0.0), grey)


def test_no_mesh_leaves_the_picture(grey):
    np.testing.assert_array_equal(draw_mesh(grey, [], [], torch.eye(3)), grey)


def test_a_box_runs_along_the_pixels_inside_its_edges(grey):
    drawn = changed(draw_boxes(grey, np.array([[9.5, 19.5, 29.5, 49.5]]), colours=[RED], thickness=1), grey)
    expected = np.zeros((64, 64), bool)
    expected[20:50, 10:30] = True
    expected[21:49, 11:29] = False
    np.testing.assert_array_equal(drawn, expected)


def test_a_label_stays_in_the_picture(grey):
    box = np.array([[5.0, 0.0, 60.0, 60.0]])
    plain, labelled = draw_boxes(grey, box), draw_boxes(grey, box, labels=["body"])
    assert changed(labelled, plain).sum() > 50


def test_visible_points_are_discs_and_hidden_ones_rings(grey):
    points = np.array([[16.0, 20.0], [48.0, 20.0]])
    drawn = changed(draw_points(grey, points, visible=np.array([True, False]), colour=RED, radius=5), grey)
    assert drawn[20, 16]
    assert not drawn[20, 48]
    assert drawn[20, 53]


def test_the_middle_of_a_point_is_where_it_is(grey):
    drawn = changed(draw_points(grey, np.array([[20.0, 31.0]]), radius=4), grey)
    ys, xs = drawn.nonzero()
    assert (xs.mean(), ys.mean()) == (20, 31)


def test_bones_join_their_joints(grey):
    points = np.array([[10.0, 10.0], [50.0, 10.0], [50.0, 50.0]])
    drawn = changed(draw_skeleton(grey, points, bones_of([-1, 0, 1]), colour=RED), grey)
    assert drawn[10, 30]
    assert drawn[30, 50]
    assert not drawn[30, 30]


def test_points_that_are_nowhere_are_left_out(grey):
    points = np.array([[np.nan, 3.0], [np.inf, 0.0], [1e30, 1e30]])
    np.testing.assert_array_equal(draw_skeleton(grey, points, [(0, 1), (1, 2)]), grey)


def test_boxes_far_outside_do_no_harm(grey):
    draw_boxes(grey, np.array([[-1e12, -5.0, 1e12, np.inf]]), labels=["far"])


def test_every_mesh_needs_its_faces(grey):
    with pytest.raises(ValueError, match="2 meshes with 1"):
        draw_mesh(grey, [plane()[0]] * 2, [plane()[1]], torch.eye(3))
