import numpy as np
import pytest
import torch

from humanpt.render.appearance import anatomy_of, draw_look
from humanpt.render.materials import draw_cloth, draw_skin
from humanpt.render.skirts import make_skirt
from humanpt.render.textures import NOISE_SIZE, noise


def same(first, second):
    tensors = ("fields", "tint", "lift", "relax")
    return (
        first.base == second.base
        and first.layers == second.layers
        and all(torch.equal(getattr(first, name), getattr(second, name)) for name in tensors)
        and len(first.drapes) == len(second.drapes)
        and all(torch.equal(a.rest, b.rest) for a, b in zip(first.drapes, second.drapes, strict=True))
    )


@pytest.mark.parametrize("kind", ["body", "hand"])
def test_the_same_seed_draws_the_same_look_and_another_seed_another(kind, request):
    model = request.getfixturevalue(kind)
    looks = [draw_look(np.random.default_rng(seed), kind, model) for seed in (1, 1, 2)]
    assert same(looks[0], looks[1])
    assert not same(looks[0], looks[2])


@pytest.mark.parametrize("kind", ["body", "hand"])
def test_every_outfit_can_be_worn_in_any_pose_that_stays_in_one_piece(kind, request):
    model = request.getfixturevalue(kind)
    vertices = model.rest(model.mean_shape())[0].detach()
    extent = float((vertices.amax(0) - vertices.amin(0)).norm())
    for seed in range(40):
        look = draw_look(np.random.default_rng(seed), kind, model)
        assert look.lift.abs().max() < 0.1
        assert torch.isfinite(look.fields).all()
        for drape in look.drapes:
            placed = drape.place(vertices)
            assert torch.isfinite(placed).all()
            assert (placed - vertices.mean(0)).norm(dim=1).max() < 3 * extent
            assert int(drape.faces.max()) == len(placed) - 1
            assert len(drape.rest) == len(placed)


def test_drapes_move_rigidly_with_the_body(body, standing):
    angle = torch.tensor(0.7)
    turn = torch.tensor([[angle.cos(), 0.0, angle.sin()], [0.0, 1.0, 0.0], [-angle.sin(), 0.0, angle.cos()]])
    shift = torch.tensor([0.4, -0.1, 2.0])
    seen = set()
    for seed in range(30):
        for drape in draw_look(np.random.default_rng(seed), "body", body).drapes:
            seen.add(type(drape).__name__)
            moved = drape.place(standing @ turn.T + shift)
            torch.testing.assert_close(moved, drape.place(standing) @ turn.T + shift, atol=2e-4, rtol=0)
    assert seen == {"Ridden", "Skirt"}


def test_a_skirt_encloses_the_legs(body, standing):
    anatomy = anatomy_of(body)
    skirt = make_skirt(anatomy, 0, 1.0, 0.5, np.random.default_rng(0), (0.01, 0.01), 1.0, 0.0)
    tube = skirt.place(standing)
    legs = standing[(anatomy.fields["up"] < 0.9) & (anatomy.fields["up"] > 0.6) & (anatomy.fields["arm"] < -0.5)]
    low, high = tube.amin(0), tube.amax(0)
    assert (legs[:, [0, 2]] > low[[0, 2]]).all()
    assert (legs[:, [0, 2]] < high[[0, 2]]).all()


def test_the_forearm_goes_on_where_the_hand_ends(hand, reaching):
    anatomy = anatomy_of(hand)
    look = draw_look(np.random.default_rng(0), "hand", hand)
    arm = look.drapes[0].place(reaching)
    ring = torch.from_numpy(anatomy.rings[0])
    torch.testing.assert_close(arm[: len(ring)], reaching[ring])
    fingers = reaching[torch.from_numpy(anatomy.fields["past"] > 0.1)].mean(0)
    wrist = reaching[ring].mean(0)
    assert ((arm[-1] - wrist) * (fingers - wrist)).sum() < 0


def test_left_and_right_of_a_body_are_found_alike(body):
    anatomy = anatomy_of(body)
    left = anatomy.rest[:, 0] > 0.01
    right = anatomy.rest[:, 0] < -0.01
    for name in ("arm", "scalp", "iris", "eye"):
        inside = anatomy.fields[name] > 0
        assert inside.any(), name
        assert abs(int((inside & left).sum()) - int((inside & right).sum())) <= 0.1 * inside.sum() + 1, name


def test_nails_are_on_the_back_of_five_finger_tips(hand):
    anatomy = anatomy_of(hand)
    nail = anatomy.fields["nail"] > 0
    tips = np.stack([point for name, point in anatomy.points.items() if name.endswith("tip")])
    nearest = np.linalg.norm(anatomy.rest[nail][:, None] - tips, axis=2)
    assert set(nearest.argmin(1)) == {0, 1, 2, 3, 4}
    assert nearest.min(1).max() < 0.03
    fingers = nail & (np.linalg.norm(anatomy.rest - tips[0], axis=1) > 0.03)
    assert (anatomy.fields["palm"][fingers] < 0.3).mean() > 0.9


def test_a_look_needs_a_model_of_its_kind(hand):
    for model in (None, hand):
        with pytest.raises(ValueError, match="needs a body model"):
            draw_look(np.random.default_rng(0), "body", model)


def test_skin_spans_light_and_dark_and_is_always_redder_than_blue():
    tones = np.array([draw_skin(np.random.default_rng(seed)).colour for seed in range(200)])
    assert tones.mean(1).min() < 0.06
    assert tones.mean(1).max() > 0.6
    assert (tones[:, 0] > tones[:, 2]).all()


def test_cloth_colours_are_reflectances_and_mostly_muted():
    colours = np.array([draw_cloth(np.random.default_rng(seed)).colour for seed in range(300)])
    assert colours.min() >= 0
    assert colours.max() <= 1
    chroma = colours.max(1) - colours.min(1)
    assert np.median(chroma) < 0.15


def test_noise_repeats_without_a_seam_and_is_smooth():
    rng = np.random.default_rng(0)
    points = torch.from_numpy(rng.uniform(-3, 3, (3, 500))).float()
    values = noise(points, 1.0)
    torch.testing.assert_close(noise(points + torch.tensor([[1.0], [-2.0], [3.0]]), 1.0), values, atol=1e-3, rtol=0)
    step = 0.02 / NOISE_SIZE
    assert (noise(points + step, 1.0) - values).abs().max() < 0.1
    assert 0.3 < float(values.std()) < 0.7
