import math

import cv2
import numpy as np
import pytest
import torch

from humanpt.errors import InputError
from humanpt.render.light import cast, draw_light
from humanpt.render.props import PROPS, prop_mesh
from humanpt.render.room import draw_room
from humanpt.render.textures import SURFACES, surface
from tests.render.meshes import sphere


def test_rooms_hold_the_origin_on_their_floor_and_differ_by_seed():
    rooms = [draw_room(np.random.default_rng(seed)) for seed in range(20)]
    for room in rooms:
        assert room.high[1] == 0.0
        assert all(low < 0.0 <= high for low, high in zip(room.low, room.high, strict=True))
    assert len({room.low for room in rooms}) == 20
    assert 0 < sum(room.panorama is not None for room in rooms) < 20


def test_photographs_hang_on_the_walls(tmp_path):
    path = tmp_path / "red.png"
    cv2.imwrite(str(path), np.full((40, 60, 3), (0, 0, 255), np.uint8))
    found = 0
    for seed in range(12):
        for panel in draw_room(np.random.default_rng(seed), "body", [path]).panels:
            if panel.picture.shape == (40, 60, 3):
                torch.testing.assert_close(panel.picture[0, 0], torch.tensor([1.0, 0.0, 0.0]))
                assert panel.half[0] / panel.half[1] == pytest.approx(1.5)
                found += 1
    assert found


def test_a_photograph_that_is_none_is_named(tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("no picture")
    rooms = (draw_room(np.random.default_rng(seed), "body", [path]) for seed in range(12))
    with pytest.raises(InputError, match=r"notes\.jpg"):
        list(rooms)


def test_a_surface_seen_from_afar_is_its_mean():
    kinds = torch.arange(len(SURFACES))
    far = surface(kinds, torch.zeros(2, len(SURFACES)), torch.full((len(SURFACES),), 4.0))
    again = surface(kinds, torch.full((2, len(SURFACES)), 0.37), torch.full((len(SURFACES),), 4.0))
    torch.testing.assert_close(far, again)


@pytest.mark.parametrize("kind", PROPS)
def test_props_have_their_size_and_face_outwards(kind):
    vertices, faces = prop_mesh(kind, (0.3, 0.2, 0.1), seed=4)
    torch.testing.assert_close(vertices.amax(0) - vertices.amin(0), torch.tensor([0.3, 0.2, 0.1]))
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    assert (a * torch.linalg.cross(b, c)).sum() > 0


def test_an_unknown_prop_is_refused():
    with pytest.raises(ValueError, match="a prop is one of"):
        prop_mesh("sofa", (1.0, 1.0, 1.0))


def test_lights_are_finite_and_come_from_above():
    for seed in range(50):
        light = draw_light(np.random.default_rng(seed))
        assert light.direction[1] < 0
        assert math.isclose(sum(v * v for v in light.direction), 1.0, abs_tol=1e-6)
        assert min(light.colour) > 0
        assert min(light.zenith + light.horizon + light.ground) > 0


def test_points_in_the_shadow_see_no_sun_and_less_of_the_sky():
    light = draw_light(np.random.default_rng(1), outdoors=True)
    vertices, faces = sphere(16, 0.5)
    shades = cast(light, vertices, faces)
    sun = torch.tensor(light.direction)
    behind, before = (-0.9 * sun)[:, None], (0.9 * sun)[:, None]
    facing = sun[:, None]
    assert float(shades.sun(behind, facing)) < 0.1
    assert float(shades.sun(before, facing)) > 0.9
    below, aside = torch.tensor([[0.0], [0.52], [0.0]]), torch.tensor([[3.0], [0.52], [0.0]])
    up = torch.tensor([[0.0], [-1.0], [0.0]])
    assert float(shades.ambient(below, up).mean()) < 0.5 * float(shades.ambient(aside, up).mean())
