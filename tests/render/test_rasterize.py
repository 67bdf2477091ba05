import pytest
import torch
from torch.testing import assert_close

from humanpt.geometry.cameras import crop_intrinsics, intrinsics_from_fov, project, unproject
from humanpt.render import zbuffer
from humanpt.render.rasterize import face_values, interpolate, interpolate_corners, normals, rasterize
from tests.render.meshes import cube, pixel_grid, plane, sphere, views

AROUND = [[0.0, 0.0, -2.5], [1.5, -1.0, -2.0], [-2.0, 0.7, 1.0]]


@pytest.fixture(scope="module")
def ball():
    """A fine sphere in three pictures: raster, faces, vertices in the world, vertices in the cameras, intrinsics."""
    vertices, faces = sphere(40)
    seen, intrinsics = views(vertices, AROUND, size=96)
    return rasterize(seen, faces, intrinsics, 96, 96), faces, vertices, seen, intrinsics


def same(first, second):
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in ("face", "bary", "depth", "front"))


def test_a_tilted_plane_has_the_depth_of_its_equation():
    vertices, faces = plane(4.0, cells=3)
    tilt = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.8, -0.6], [0.0, 0.6, 0.8]])
    seen = (vertices @ tilt.T + torch.tensor([0.1, -0.2, 3.0]))[None]
    intrinsics = intrinsics_from_fov(0.5, 80)[None]
    raster = rasterize(seen, faces, intrinsics, 80, 80)
    rays = unproject(pixel_grid(80).view(-1, 2), torch.ones(6400), intrinsics[0])
    normal = tilt[:, 2]
    depth = (normal @ torch.tensor([0.1, -0.2, 3.0])) / (rays @ normal)
    assert raster.mask.all()
    assert_close(raster.depth.view(-1), depth, atol=1e-5, rtol=0)


def test_a_sphere_has_the_outline_depth_and_normals_of_its_equation(ball):
    raster, faces, _, seen, intrinsics = ball
    centre = torch.tensor([0.0, 0.0, torch.tensor(AROUND[0]).norm()])
    rays = unproject(pixel_grid(96).view(-1, 2), torch.ones(96 * 96), intrinsics[0])
    along = (rays @ centre) / (rays * rays).sum(dim=-1)
    room = along**2 - (centre @ centre - 0.25) / (rays * rays).sum(dim=-1)
    hit = room > 0
    mask = raster.mask[0].view(-1)
    assert (mask != hit).float().mean() < 0.004  # the mesh lies within the sphere
    both = mask & (room > 0.002)
    depth = along - room.clamp(min=0).sqrt()
    assert_close(raster.depth[0].view(-1)[both], depth[both], atol=0.02, rtol=0)
    outward = (rays * depth[:, None] - centre) / 0.5
    shown = normals(raster, faces, seen)[0].view(-1, 3)
    assert (shown[both] * outward[both]).sum(dim=-1).min() > 0.99


def test_a_cube_seen_from_the_front_shows_one_side_in_a_square():
    vertices, faces = cube()
    seen, intrinsics = views(vertices, [[0.0, 0.0, -3.0]], size=101)
    raster = rasterize(seen, faces, intrinsics, 101, 101)
    half = int(0.5 * intrinsics[0, 0, 0] / 2.5)  # whole pixels from the middle to the edge of the side at z = -0.5
    expected = torch.zeros(101, 101, dtype=torch.bool)
    expected[50 - half : 51 + half, 50 - half : 51 + half] = True
    assert torch.equal(raster.mask[0], expected)
    assert set(raster.face[raster.mask].tolist()) == {8, 9}
    assert_close(raster.depth[raster.mask], torch.full((int(expected.sum()),), 2.5))
    assert_close(normals(raster, faces, vertices[None], smooth=False)[0, 50, 50], torch.tensor([0.0, 0.0, -1.0]))


def test_a_cube_seen_from_a_corner_shows_its_three_near_sides():
    vertices, faces = cube()
    seen, intrinsics = views(vertices, [[2.0, -2.0, -2.0]])
    raster = rasterize(seen, faces, intrinsics, 64, 64)
    assert set((raster.face[raster.mask] // 2).tolist()) == {1, 2, 4}  # +x, -y and -z
    assert raster.front[raster.mask].all()


def test_a_face_between_pixel_centres_shows_nothing_and_one_about_a_centre_that_pixel():
    intrinsics = torch.eye(3)[None]
    around = torch.tensor([[19.9, 9.9, 1.0], [20.0, 10.2, 1.0], [20.1, 9.9, 1.0]])
    face = torch.tensor([[0, 1, 2]])
    mask = rasterize(around[None], face, intrinsics, 30, 40).mask[0]
    assert mask.nonzero().tolist() == [[10, 20]]
    assert not rasterize((around + torch.tensor([0.4, 0.0, 0.0]))[None], face, intrinsics, 30, 40).mask.any()


def test_what_is_seen_projects_to_the_centre_of_its_pixel(ball):
    raster, faces, _, seen, intrinsics = ball
    points = interpolate(raster, faces, seen)
    for i in range(3):
        mask = raster.mask[i]
        assert_close(project(points[i][mask], intrinsics[i]), pixel_grid(96)[mask], atol=1e-4, rtol=0)
        assert_close(points[i][mask][:, 2], raster.depth[i][mask])


def test_weights_are_shares(ball):
    raster = ball[0]
    assert (raster.bary >= 0).all()
    assert_close(raster.bary.sum(dim=-1), raster.mask.float())


def test_small_faces_leave_no_gap():
    vertices, faces = plane(2.0, cells=150)
    generator = torch.Generator().manual_seed(0)
    vertices[:, :2] += 0.003 * (torch.rand(len(vertices), 2, generator=generator) - 0.5)
    seen, intrinsics = views(vertices, [[0.4, 0.3, -1.5]], size=100)
    assert rasterize(seen, faces, intrinsics, 100, 100).mask.all()


def test_edges_through_pixel_centres_leave_no_gap_and_give_the_lower_face():
    vertices, faces = plane(8.0, cells=8)
    seen = (vertices + torch.tensor([4.0, 4.0, 1.0]))[None]  # a vertex on every pixel centre
    raster = rasterize(seen, faces, torch.eye(3)[None], 9, 9)
    corners = seen[0, faces, :2].long()  # (F, 3, 2)
    for y in range(9):
        for x in range(9):
            touching = (corners == torch.tensor([x, y])).all(dim=-1).any(dim=-1).nonzero()
            assert raster.face[0, y, x] == touching.min()


def test_of_equal_faces_the_first_is_seen():
    vertices, faces = plane(4.0)
    seen = (vertices + torch.tensor([0.0, 0.0, 2.0]))[None]
    raster = rasterize(seen, torch.cat([faces, faces]), intrinsics_from_fov(0.5, 20)[None], 20, 20)
    assert (raster.face < 2).all()


def test_what_is_too_near_or_not_a_number_is_left_out():
    vertices, faces = plane(4.0)
    good = vertices + torch.tensor([0.0, 0.0, 2.0])
    near, behind, unknown = good.clone(), good.clone(), good.clone()
    near[0, 2], behind[0, 2], unknown[0] = 0.0005, -1.0, torch.nan
    raster = rasterize(torch.stack([good, near, behind, unknown]), faces[:1], torch.eye(3)[None] * 20, 8, 8)
    assert raster.mask.flatten(1).any(dim=1).tolist() == [True, False, False, False]


def test_culling_changes_nothing_outside_of_a_closed_mesh_and_empties_its_inside(ball):
    raster, faces, vertices, seen, intrinsics = ball
    assert same(rasterize(seen, faces, intrinsics, 96, 96, cull=True), raster)
    inside = vertices[None] + torch.tensor([0.0, 0.0, 0.1])
    assert not rasterize(inside, faces, intrinsics[:1], 96, 96, cull=True).mask.any()
    open_inside = rasterize(inside, faces, intrinsics[:1], 96, 96)
    assert open_inside.mask.any()
    assert not open_inside.front.any()


def test_a_batch_is_its_pictures_one_by_one(ball):
    raster, faces, _, seen, intrinsics = ball
    for i in range(3):
        assert same(rasterize(seen[i : i + 1], faces, intrinsics[i : i + 1], 96, 96), raster[i])


def test_threads_and_the_size_of_blocks_change_no_bit(ball, monkeypatch):
    raster, faces, _, seen, intrinsics = ball
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            assert same(rasterize(seen, faces, intrinsics, 96, 96), raster)
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setattr(zbuffer, "_COPIES_AT_ONCE", {"cpu": 500})
    monkeypatch.setattr(zbuffer, "_ITEMS_AT_ONCE", {"cpu": 1})
    assert same(rasterize(seen, faces, intrinsics, 96, 96), raster)


def test_a_face_larger_than_a_block_is_drawn_whole(monkeypatch):
    vertices, faces = plane(5.0)
    seen, intrinsics = views(vertices, [[0.4, 0.3, -1.5]])
    whole = rasterize(seen, faces, intrinsics, 64, 64)
    monkeypatch.setattr(zbuffer, "_COPIES_AT_ONCE", {"cpu": 100})
    assert whole.mask.all()
    assert same(rasterize(seen, faces, intrinsics, 64, 64), whole)


def test_a_crop_is_a_part_of_the_picture(ball):
    raster, faces, _, seen, intrinsics = ball
    cropped = crop_intrinsics(intrinsics, torch.tensor([9.5, 19.5, 59.5, 69.5]), 50)
    part = rasterize(seen, faces, cropped, 50, 50)
    assert torch.equal(part.face, raster.face[:, 20:70, 10:60])


def test_pictures_need_not_be_square():
    vertices, faces = plane(4.0)
    raster = rasterize((vertices + torch.tensor([0.0, 0.0, 2.0]))[None], faces, torch.eye(3)[None] * 9, 5, 12)
    assert raster.face.shape == raster.depth.shape == (1, 5, 12)
    assert raster.bary.shape == (1, 5, 12, 3)


def test_without_faces_or_pictures_there_is_nothing():
    vertices, faces = plane()
    assert not rasterize(vertices[None], faces[:0], torch.eye(3)[None], 4, 4).mask.any()
    assert rasterize(vertices[None][:0], faces, torch.eye(3)[None], 4, 4).face.shape == (0, 4, 4)


def test_values_of_the_batch_and_shared_values_agree(ball):
    raster, faces, vertices, _, _ = ball
    shared = interpolate(raster, faces, vertices)
    assert torch.equal(interpolate(raster, faces, vertices.expand(3, -1, -1)), shared)
    assert (shared[~raster.mask] == 0).all()


def test_values_at_corners_agree_with_values_at_vertices(ball):
    raster, faces, vertices, _, _ = ball
    assert_close(interpolate_corners(raster, vertices[faces]), interpolate(raster, faces, vertices))


def test_corners_of_one_vertex_may_differ_between_faces():
    vertices, faces = plane(2.0)
    raster = rasterize((vertices + torch.tensor([0.0, 0.0, 2.0]))[None], faces, torch.eye(3)[None] * 9, 8, 8)
    own = torch.tensor([[[3.0]] * 3, [[5.0]] * 3])
    assert_close(interpolate_corners(raster, own)[..., 0], torch.where(raster.face == 0, 3.0, 5.0) * raster.mask)


def test_faces_lend_their_values_and_the_rest_is_filled(ball):
    raster, faces, _, _, _ = ball
    part = torch.arange(len(faces)) % 7
    assert torch.equal(face_values(raster, part, fill=-1), torch.where(raster.mask, raster.face % 7, -1))


def test_gradients_reach_the_values_of_the_vertices(ball):
    raster, faces, vertices, _, _ = ball
    values = vertices.clone().requires_grad_()
    interpolate(raster, faces, values).sum().backward()
    assert_close(values.grad.sum(), raster.mask.sum() * 3.0)
    hidden = torch.ones(len(vertices), dtype=torch.bool)
    hidden[faces[raster.face[raster.mask]]] = False
    assert (values.grad[hidden] == 0).all()


def test_shapes_that_do_not_fit_are_refused():
    vertices, faces = plane()
    with pytest.raises(ValueError, match=r"\(4, 3\)"):
        rasterize(vertices, faces, torch.eye(3)[None], 4, 4)
    with pytest.raises(ValueError, match=r"\(2, 3, 3\)"):
        rasterize(vertices[None], faces, torch.eye(3).expand(2, 3, 3), 4, 4)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_faces(ball):
    raster, faces, _, seen, intrinsics = ball
    there = rasterize(seen.cuda(), faces.cuda(), intrinsics.cuda(), 96, 96)
    assert torch.equal(there.face.cpu(), raster.face)
    assert_close(there.bary.cpu(), raster.bary)
