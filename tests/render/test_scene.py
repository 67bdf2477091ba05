from dataclasses import replace

import numpy as np
import pytest
import torch

from humanpt.geometry.cameras import intrinsics_from_fov, look_at, project, transform
from humanpt.render.appearance import Look, draw_look
from humanpt.render.light import Light, draw_light
from humanpt.render.materials import Material
from humanpt.render.props import prop_mesh
from humanpt.render.room import FLOOR, Block, Face, Room, draw_room
from humanpt.render.scene import Cameras, Scene, Thing, render
from tests.render.meshes import sphere

SIZE = 64
DOWN = (0.0, -1.0, 0.0)


def light(direction=DOWN, sun=0.0, around=1.0, softness=0.01):
    grey = (around, around, around)
    return Light(
        direction=direction,
        colour=(sun, sun, sun),
        softness=softness,
        zenith=grey,
        horizon=grey,
        ground=grey,
        side=(1.0, 0.0, 0.0),
        side_colour=(0.0, 0.0, 0.0),
        exposure=0.5,
    )


def matt(grey=0.5, **changes):
    material = Material(colour=(grey, grey, grey), mottle=0.0, grain=0.0, bump=0.0, gloss=0.0, sheen=0.0)
    return Look(subject="prop", base=replace(material, **changes))


def ball(centre=(0.0, -0.6, 0.0), radius=0.3, look=None):
    vertices, faces = sphere(24, radius)
    return Thing(vertices=vertices + torch.tensor(centre), faces=faces, rest=vertices, look=look or matt())


def cameras(*eyes, target=(0.0, -0.6, 0.0), fov=0.5, size=SIZE):
    poses = look_at(torch.tensor(eyes), torch.tensor([target]).expand(len(eyes), 3))
    intrinsics = intrinsics_from_fov(fov, size).expand(len(eyes), 3, 3).clone()
    return Cameras(intrinsics=intrinsics, cam_from_world=poses, size=size)


def plain_room(half=3.0):
    face = Face(kind="plain", colour=(0.5, 0.5, 0.5), second=(0.5, 0.5, 0.5), period=1.0)
    return Room(low=(-half, -half, -half), high=(half, 0.0, half), faces=(face,) * 6)


def brightness(pictures):
    return pictures.rgb.double().mean(-1)


def test_the_side_that_faces_the_sun_is_brighter():
    sunny = light(direction=(1.0, 0.0, 0.0), sun=1.0, around=0.2)
    picture = brightness(render(Scene(things=(ball(),), room=None, light=sunny), cameras((0.0, -0.6, -3.0))))[0]
    middle = SIZE // 2
    assert picture[middle, middle + 9] > 1.5 * picture[middle, middle - 9] > 0


def test_light_from_all_around_shows_the_reflectance_itself():
    shown = []
    for grey in (0.2, 0.4):
        scene = Scene(things=(ball(look=matt(grey)),), room=None, light=light())
        shown.append(render(scene, cameras((0.0, -0.6, -3.0))).rgb[0, SIZE // 2, SIZE // 2].tolist())
    for pixel, grey in zip(shown, (0.2, 0.4), strict=True):
        expected = 255 * (1.055 * (0.5 * grey) ** (1 / 2.4) - 0.055)
        assert max(abs(value - expected) for value in pixel) <= 4


def test_a_point_of_the_surface_has_one_colour_in_all_views():
    look = matt(0.3, second=(0.7, 0.2, 0.1), wave1=(6.0, 3.0, 0.0), mix=(1.0, 0.0, 0.0, 0.0, 0.0, 2.0))
    thing = ball(look=look)
    views = cameras((0.6, -0.6, -3.0), (-0.6, -0.9, -3.0), size=256)
    pictures = render(Scene(things=(thing,), room=None, light=light()), views)
    near = thing.vertices[thing.rest[:, 2] < -0.25]
    seen = []
    for view in range(2):
        pixels = project(transform(views.cam_from_world[view], near), views.intrinsics[view]).round().long()
        seen.append(pictures.rgb[view, pixels[:, 1], pixels[:, 0]].double())
    assert (seen[0] - seen[1]).abs().median() < 4
    assert seen[0].std(0).max() > 20  # there is a pattern to compare


def test_without_a_room_alpha_is_the_cover_and_the_rest_is_black():
    pictures = render(Scene(things=(ball(),), room=None, light=light()), cameras((0.0, -0.6, -3.0)))
    alpha = pictures.alpha[0]
    assert alpha[SIZE // 2, SIZE // 2] == 255
    assert alpha[0, 0] == 0
    assert ((alpha > 0) & (alpha < 255)).any()
    assert (pictures.rgb[0][alpha == 0] == 0).all()
    assert (pictures.rgb[0][alpha == 255] > 0).all()


def test_the_nearer_thing_hides_the_farther():
    things = (ball((0.0, -0.6, 0.0)), ball((0.0, -0.6, -1.0), radius=0.1))
    for order, first in ((things, 1), (things[::-1], 0)):
        pictures = render(Scene(things=order, room=None, light=light()), cameras((0.0, -0.6, -3.0)))
        assert pictures.thing[0, SIZE // 2, SIZE // 2] == first
        assert pictures.thing[0, SIZE // 2, SIZE // 2 + 10] == 1 - first
        assert pictures.thing[0, 0, 0] == -1


def test_the_shadow_falls_on_the_side_away_from_the_sun():
    slant = (0.7071, -0.7071, 0.0)  # from the right, so the shadow lies to the left
    scene = Scene(things=(ball((0.0, -0.8, 0.0), 0.25),), room=plain_room(), light=light(slant, sun=1.0, around=0.3))
    views = cameras((0.0, -2.8, -0.01), target=(0.0, 0.0, 0.0), fov=1.2, size=128)
    picture = brightness(render(scene, views))[0]

    def at(x):
        spot = transform(views.cam_from_world[0], torch.tensor([[x, 0.0, 0.0]]))
        column, row = project(spot, views.intrinsics[0]).round().long()[0].tolist()
        return float(picture[row, column])

    assert at(-0.8) < 0.75 * at(0.8)


def test_the_floor_is_darker_where_something_stands():
    box, faces = prop_mesh("box", (0.5, 0.5, 0.5))
    thing = Thing(vertices=box + torch.tensor([0.0, -0.25, 0.0]), faces=faces, rest=box, look=matt())
    views = cameras((0.0, -1.0, -2.5), target=(0.0, 0.0, 0.0), fov=1.0, size=128)
    picture = brightness(render(Scene(things=(thing,), room=plain_room(), light=light()), views))[0]
    spots = torch.tensor([[0.0, 0.0, -0.3], [0.0, 0.0, -1.2]])  # just before the box, and well before it
    pixels = project(transform(views.cam_from_world[0], spots), views.intrinsics[0]).round().long()
    near, far = picture[pixels[:, 1], pixels[:, 0]]
    assert near < 0.9 * far


def test_the_room_has_one_colour_at_one_place_in_all_views():
    rooms = (draw_room(np.random.default_rng(seed)) for seed in range(20))
    room = next(room for room in rooms if room.panorama is None)
    scene = Scene(things=(ball(),), room=replace(room, blocks=(), panels=()), light=light())
    views = cameras((0.8, -1.2, -1.5), (-0.8, -1.4, -1.7), target=(0.0, -1.0, 2.0), fov=1.2, size=256)
    pictures = render(scene, views)
    x, y = torch.meshgrid(torch.linspace(-0.5, 0.5, 12), torch.linspace(-1.6, -0.9, 12), indexing="ij")
    wall = torch.stack([x.reshape(-1), y.reshape(-1), torch.full((144,), room.high[2])], 1)
    seen = []
    for view in range(2):
        pixels = project(transform(views.cam_from_world[view], wall), views.intrinsics[view]).round().long()
        assert ((pixels >= 0) & (pixels < 256)).all()
        seen.append(pictures.rgb[view, pixels[:, 1], pixels[:, 0]].double())
    assert (seen[0] - seen[1]).abs().median() < 4


def test_a_camera_outside_the_room_sees_in(body, standing):
    thing = Thing(vertices=standing, faces=body.faces, rest=body.canonical, look=matt())
    scene = Scene(things=(thing,), room=plain_room(1.5), light=light())
    pictures = render(scene, cameras((0.0, -1.0, -6.0), fov=0.6))
    assert (pictures.alpha[0] > 0).any()
    assert (pictures.rgb.amin() > 0).all()


@pytest.mark.parametrize("kind", ["body", "hand"])
def test_pictures_are_the_same_bytes_on_repeat_and_with_any_number_of_threads(kind, request):
    model = request.getfixturevalue(kind)
    vertices = request.getfixturevalue("standing" if kind == "body" else "reaching")
    centre = vertices.mean(0)
    away = 2.5 if kind == "body" else 0.5
    eyes = [(centre + torch.tensor(way) * away).tolist() for way in ((0.0, 0.0, -1.0), (1.0, -0.2, 0.0))]
    views = cameras(*eyes, target=tuple(centre.tolist()), fov=0.7, size=96)
    before = torch.get_num_threads()
    pictures = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            rng = np.random.default_rng(11)
            thing = Thing(vertices=vertices, faces=model.faces, rest=model.canonical, look=draw_look(rng, kind, model))
            scene = Scene(things=(thing,), room=draw_room(rng, kind), light=draw_light(rng))
            pictures.append(render(scene, views).rgb)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(pictures[0], pictures[1])
    assert torch.equal(pictures[0], pictures[2])


def test_one_view_alone_equals_itself_among_others(hand, reaching):
    rng = np.random.default_rng(5)
    thing = Thing(vertices=reaching, faces=hand.faces, rest=hand.canonical, look=draw_look(rng, "hand", hand))
    scene = Scene(things=(thing,), room=draw_room(rng, "hand"), light=draw_light(rng))
    both = cameras((0.0, -0.6, -0.6), (0.5, -0.7, -0.2), target=(0.0, -0.5, 0.0))
    alone = cameras((0.5, -0.7, -0.2), target=(0.0, -0.5, 0.0))
    assert torch.equal(render(scene, both).rgb[1], render(scene, alone).rgb[0])


def test_own_faces_are_told_from_what_hangs_on_the_body(hand, reaching):
    look = draw_look(np.random.default_rng(2), "hand", hand)
    pictures = render(
        Scene(
            things=(Thing(vertices=reaching, faces=hand.faces, rest=hand.canonical, look=look),),
            room=None,
            light=light(),
        ),
        cameras((0.4, -0.5, 0.0), target=(0.0, -0.5, 0.0), fov=0.8),
    )
    source = pictures.assembly.face_source
    assert torch.equal(source[: len(hand.faces)], torch.arange(len(hand.faces)))
    assert (source[len(hand.faces) :] == -1).all()
    assert len(source) > len(hand.faces)  # a forearm


def test_a_scene_without_things_is_refused():
    with pytest.raises(ValueError, match="at least one thing"):
        render(Scene(things=(), room=None, light=light()), cameras((0.0, -0.6, -3.0)))


def test_a_look_of_another_mesh_is_refused(body, hand, reaching):
    look = draw_look(np.random.default_rng(0), "body", body)
    thing = Thing(vertices=reaching, faces=hand.faces, rest=hand.canonical, look=look)
    with pytest.raises(ValueError, match="drawn for"):
        render(Scene(things=(thing,), room=None, light=light()), cameras((0.0, -0.6, -3.0)))


def test_furniture_never_hides_the_subject(body, standing):
    thing = Thing(vertices=standing, faces=body.faces, rest=body.canonical, look=matt())
    cover = Face(kind="plain", colour=(0.9, 0.1, 0.1), second=(0.9, 0.1, 0.1), period=1.0)

    def seen(z):
        block = Block(centre=(0.0, -1.0, z), half=(0.6, 1.0, 0.2), turn=0.0, cover=cover)
        scene = Scene(things=(thing,), room=replace(plain_room(), blocks=(block,)), light=light())
        picture = render(scene, cameras((0.0, -1.0, -2.9), target=(0.0, -0.9, 0.0), fov=1.0)).rgb[0].long()
        return bool(((picture[..., 0] - picture[..., 1]) > 60).any())

    assert seen(1.5)
    assert not seen(-1.5)


@pytest.mark.gpu
def test_the_same_code_draws_on_a_gpu(hand, reaching):
    rng = np.random.default_rng(5)
    look, room, lamp = draw_look(rng, "hand", hand), draw_room(rng, "hand"), draw_light(rng)
    views = cameras((0.5, -0.7, -0.2), target=(0.0, -0.5, 0.0))
    pictures = []
    for device in ("cpu", "cuda"):
        thing = Thing(
            vertices=reaching.to(device), faces=hand.faces.to(device), rest=hand.canonical.to(device), look=look
        )
        there = Cameras(
            intrinsics=views.intrinsics.to(device), cam_from_world=views.cam_from_world.to(device), size=SIZE
        )
        pictures.append(render(Scene(things=(thing,), room=room, light=lamp), there).rgb.cpu().double())
    assert (pictures[0] - pictures[1]).abs().mean() < 0.5


def test_the_floor_is_the_floor():
    floor = Face(kind="plain", colour=(0.1, 0.6, 0.1), second=(0.1, 0.6, 0.1), period=1.0)
    room = plain_room()
    faces = list(room.faces)
    faces[FLOOR] = floor
    scene = Scene(things=(ball(),), room=replace(room, faces=tuple(faces)), light=light())
    picture = render(scene, cameras((0.0, -1.5, -2.0), target=(0.0, -0.5, 1.0), fov=1.2)).rgb[0].long()
    assert picture[-2, 5, 1] > picture[-2, 5, 0] + 40
    assert abs(int(picture[2, 5, 1] - picture[2, 5, 0])) < 10
