import pytest
import torch
from torch.testing import assert_close

from humanpt.geometry.cameras import intrinsics_from_fov, look_at, project, transform
from humanpt.render.rasterize import correspond, interpolate, normals, rasterize, vertex_normals, visible_points
from tests.render.meshes import cube, pixel_grid, plane, sphere, views

SIZE = 80


@pytest.fixture(scope="module")
def two_balls():
    """A sphere seen from two sides: vertices, faces, eyes, vertices in the cameras, intrinsics, raster of both."""
    vertices, faces = sphere(32)
    eyes = torch.tensor([[0.0, 0.0, -2.5], [1.8, -0.8, -1.6]])
    seen, intrinsics = views(vertices, eyes, size=SIZE)
    return vertices, faces, eyes, seen, intrinsics, rasterize(seen, faces, intrinsics, SIZE, SIZE)


def test_a_correspondence_is_where_the_point_projects_to(two_balls):
    vertices, faces, _, _, intrinsics, raster = two_balls
    pixels, _ = correspond(raster[0], raster[1], faces, two_balls[3][1:], intrinsics[1:])
    points = interpolate(raster[0], faces, vertices)[0][raster.mask[0]]
    pose = look_at(two_balls[2][1], torch.zeros(3))
    assert_close(pixels[0][raster.mask[0]], project(transform(pose, points), intrinsics[1]), atol=1e-3, rtol=0)
    assert pixels[0][~raster.mask[0]].isnan().all()


def test_of_a_sphere_both_views_see_what_faces_both(two_balls):
    vertices, faces, eyes, seen, intrinsics, raster = two_balls
    _, visible = correspond(raster[0], raster[1], faces, seen[1:], intrinsics[1:])
    points = interpolate(raster[0], faces, vertices)[0]
    facing = ((eyes[1] - points) * normals(raster[0], faces, vertices[None], smooth=False)[0]).sum(dim=-1)
    assert torch.equal(visible[0], raster.mask[0] & (facing > 0))


def test_there_and_back_is_where_it_began(two_balls):
    _, faces, _, seen, intrinsics, raster = two_balls
    there, visible1 = correspond(raster[0], raster[1], faces, seen[1:], intrinsics[1:])
    back, visible2 = correspond(raster[1], raster[0], faces, seen[:1], intrinsics[:1])
    nearest = there[visible1].round().long()
    found = back[0, nearest[:, 1], nearest[:, 0]]
    known = visible2[0, nearest[:, 1], nearest[:, 0]]
    assert known.float().mean() > 0.9
    apart = (found - pixel_grid(SIZE)[visible1[0]])[known].norm(dim=-1)
    assert apart.median() < 0.7  # half a pixel of rounding, stretched by the other view
    assert visible2.sum() * 0.8 < visible1.sum() < visible2.sum() * 1.25


@pytest.fixture(scope="module")
def screen():
    """A wall at z = 0 and a small screen before it, seen from the left and the right."""
    wall, faces = plane(2.0, cells=4)
    front = plane(0.4)[0] + torch.tensor([0.0, 0.0, -0.5])
    vertices = torch.cat([wall, front])
    faces = torch.cat([faces, plane()[1] + len(wall)])
    seen, intrinsics = views(vertices, [[-0.7, 0.0, -2.0], [0.7, 0.0, -2.0]], size=SIZE)
    return vertices, faces, seen, intrinsics, rasterize(seen, faces, intrinsics, SIZE, SIZE)


def test_what_a_screen_hides_from_the_other_view_is_said_to_be_hidden(screen):
    vertices, faces, seen, intrinsics, raster = screen
    pixels, visible = correspond(raster[0], raster[1], faces, seen[1:], intrinsics[1:])
    points = interpolate(raster[0], faces, vertices)[0]
    eye = torch.tensor([0.7, 0.0, -2.0])
    share = (-0.5 - eye[2]) / (points[..., 2] - eye[2])  # where the line of sight passes the screen's plane
    passing = eye + (points - eye) * share[..., None]
    shadowed = (passing[..., :2].abs() < 0.2).all(dim=-1) & (points[..., 2] > -0.4)
    inside = ((pixels[0] >= -0.5) & (pixels[0] < SIZE - 0.5)).all(dim=-1)
    assert (shadowed & raster.mask[0]).sum() > 50
    assert torch.equal(visible[0], raster.mask[0] & inside & ~shadowed)


def test_the_other_side_of_a_sheet_is_not_the_same_place():
    vertices, faces = plane(1.0, cells=2)
    seen, intrinsics = views(vertices, [[0.0, 0.0, -2.0], [0.3, 0.0, 2.0]], size=SIZE)
    raster = rasterize(seen, faces, intrinsics, SIZE, SIZE)
    _, visible = correspond(raster[0], raster[1], faces, seen[1:], intrinsics[1:])
    assert not visible.any()


def test_batches_of_correspondences_are_their_singles(two_balls):
    _, faces, _, seen, intrinsics, raster = two_balls
    other = torch.tensor([1, 0])
    swapped = rasterize(seen[other], faces, intrinsics, SIZE, SIZE)
    pixels, visible = correspond(raster, swapped, faces, seen[other], intrinsics)
    for i in range(2):
        alone = correspond(raster[i], swapped[i], faces, seen[other][i : i + 1], intrinsics[:1])
        assert torch.equal(visible[i : i + 1], alone[1])
        assert_close(pixels[i : i + 1], alone[0], equal_nan=True)


def test_points_behind_the_surface_behind_the_camera_and_outside_are_not_visible(two_balls):
    _, _, _, _, intrinsics, raster = two_balls
    points = torch.tensor(
        [[0.0, 0.0, 1.9], [0.0, 0.0, 2.05], [0.0, 0.0, 2.6], [0.0, 0.0, -1.0], [2.0, 0.0, 2.0], [0.7, 0.0, 2.6]]
    )
    visible = visible_points(points[None], raster[0], intrinsics[:1], 0.1)
    assert visible.tolist() == [[True, True, False, False, False, True]]


def test_each_point_may_have_its_own_tolerance(two_balls):
    _, _, _, _, intrinsics, raster = two_balls
    points = torch.tensor([[0.0, 0.0, 2.3], [0.0, 0.0, 2.3]]).expand(2, 2, 3)
    visible = visible_points(points, raster, intrinsics, torch.tensor([0.1, 0.5]))
    assert visible.tolist() == [[False, True], [False, True]]


def test_smooth_normals_of_a_cube_point_along_its_diagonals():
    vertices, faces = cube()
    found = vertex_normals(faces, vertices[None])[0]
    assert ((found * vertices).sum(dim=-1) > 0.75).all()
    assert_close(found.norm(dim=-1), torch.ones(8))


def test_smooth_normals_ask_for_no_order(two_balls):
    vertices, faces = two_balls[:2]
    shuffled = faces[torch.randperm(len(faces), generator=torch.Generator().manual_seed(0))]
    assert torch.equal(vertex_normals(shuffled, vertices[None]), vertex_normals(faces, vertices[None]))


def test_a_vertex_without_a_face_has_no_normal():
    vertices, faces = plane()
    found = vertex_normals(faces[:1], vertices[None])[0]
    assert (found[1] == 0).all()
    assert_close(found[0], torch.tensor([0.0, 0.0, -1.0]))


def test_a_wide_view_sees_a_near_floor_whole():
    """Big faces that reach far out of the picture are as exact as small ones."""
    vertices, faces = plane(200.0)
    pose = look_at(torch.tensor([0.0, 0.0, -1.5]), torch.tensor([0.0, 0.0, 0.0]))
    seen = transform(pose, vertices)[None]
    raster = rasterize(seen, faces, intrinsics_from_fov(1.2, SIZE)[None], SIZE, SIZE)
    assert raster.mask.all()
    assert_close(raster.depth, torch.full_like(raster.depth, 1.5))
