"""Faces, hair, beards and hats of bodies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from humanpt.render.anatomy import FAR
from humanpt.render.hair import make_brim, make_long_hair, make_tail
from humanpt.render.look import Wardrobe
from humanpt.render.materials import Colour, Material, draw_cloth, linear

_STYLES = {
    "short": 0.34,
    "cropped": 0.14,
    "long": 0.2,
    "tail": 0.07,
    "bald": 0.07,
    "cap": 0.08,
    "hat": 0.04,
    "scarf": 0.06,
}
"""What heads wear, and how often."""


def dress_face(wardrobe: Wardrobe, skin: Material, hair: Material) -> None:
    """Paint lips, brows and eyes, and now and then a beard."""
    fields, rng = wardrobe.anatomy.fields, wardrobe.rng
    red, green, blue = skin.colour
    strong = float(rng.uniform(0.3, 1.0))
    lips: Colour = (red * (1 - 0.12 * strong), green * (1 - 0.45 * strong), blue * (1 - 0.4 * strong))
    if rng.random() < 0.05:
        lips = linear(170, 40, 50)
    wardrobe.put(fields["lips"], replace(skin, colour=lips, gloss=0.12, polish=20.0))
    wardrobe.put(fields["brow"], replace(hair, gloss=0.0), ragged=0.002)
    white = Material(colour=linear(188, 180, 174), gloss=0.3, polish=60.0)
    wardrobe.put(fields["eye"], white)
    dark = linear(*[(45, 28, 18), (60, 40, 24), (70, 90, 110), (80, 95, 60), (30, 20, 15)][rng.integers(5)])
    wardrobe.put(fields["iris"], replace(white, colour=dark))
    if rng.random() < 0.22:
        shorter = float(rng.uniform(0.0, 1.0))
        stubble = rng.random() < 0.5
        mix = tuple(0.55 * a + 0.45 * b for a, b in zip(skin.colour, hair.colour, strict=True))
        material = replace(skin, colour=mix) if stubble else hair  # type: ignore[arg-type]
        wardrobe.put(
            np.where(fields["lips"] > 0, -0.01, fields["beard"] - 0.004),
            material,
            thickness=0.0 if stubble else 0.006 + 0.022 * shorter**2,
            fade=0.02,
            ragged=0.006,
            relax=0.0 if stubble else 0.8,
        )


def dress_head(wardrobe: Wardrobe, hair: Material, bare: bool = False) -> None:
    """Put hair or a hat on; nobody with a bare trunk wears a scarf over the hair."""
    style = str(wardrobe.rng.choice(list(_STYLES), p=np.array(list(_STYLES.values()))))
    if style == "scarf" and bare:
        style = "short"
    if style == "bald":
        _leave_bald(wardrobe, hair)
    elif style == "cropped":
        mix = (0.025 + 0.9 * hair.colour[0], 0.025 + 0.9 * hair.colour[1], 0.025 + 0.9 * hair.colour[2])
        wardrobe.put(wardrobe.anatomy.fields["scalp"], replace(hair, colour=mix), thickness=0.004, ragged=0.005)
    elif style in ("short", "long", "tail"):
        _let_grow(wardrobe, hair, style)
    elif style == "scarf":
        _wrap(wardrobe)
    else:
        _cover(wardrobe, hair, style)


def _leave_bald(wardrobe: Wardrobe, hair: Material) -> None:
    """Leave the head bald, or with a wreath of hair."""
    anatomy = wardrobe.anatomy
    if wardrobe.rng.random() < 0.5:
        ears = (anatomy.points["left_ear"] + anatomy.points["right_ear"]) / 2
        ring = np.minimum(anatomy.fields["scalp"], 0.035 - np.abs(anatomy.rest[:, 1] - ears[1]))
        wardrobe.put(np.minimum(ring, anatomy.rest[:, 2] - ears[2] + 0.02), hair, thickness=0.006, ragged=0.006)


def _let_grow(wardrobe: Wardrobe, hair: Material, style: str) -> None:
    """Give the scalp volume, and what falls from it."""
    anatomy, rng = wardrobe.anatomy, wardrobe.rng
    thick = float(rng.uniform(0.012, 0.045))
    line = anatomy.fields["scalp"] - float(rng.uniform(-0.008, 0.012))
    wardrobe.put(line, hair, thickness=thick, folds=0.5 * thick, fade=0.05, ragged=0.011, relax=0.9)
    if style == "long":
        length = float(rng.choice([0.1, 0.17, 0.26, 0.4]))
        wardrobe.drapes.append(make_long_hair(anatomy, wardrobe.hang(hair), length, thick + 0.003, rng))
    elif style == "tail":
        length = float(rng.choice([0.07, 0.2, 0.32, 0.45]))
        width = 0.042 if length < 0.1 else float(rng.uniform(0.018, 0.032))
        wardrobe.drapes.append(make_tail(anatomy, wardrobe.hang(hair), length, width, rng))


def _cover(wardrobe: Wardrobe, hair: Material, style: str) -> None:
    """Put on a cap or a hat, over short hair."""
    anatomy, rng = wardrobe.anatomy, wardrobe.rng
    wardrobe.put(anatomy.fields["scalp"], hair, thickness=0.01, ragged=0.005)
    cloth = draw_cloth(rng, plain=0.8)
    gap = float(np.linalg.norm(anatomy.points["left_eye"] - anatomy.points["right_eye"]))
    above = anatomy.fields["up"] - wardrobe.heights["eye"] - 0.6 * gap
    thick = 0.018 if style == "cap" else 0.05
    field = np.where(anatomy.fields["arm"] > FAR, FAR, above)
    layer = wardrobe.put(field, cloth, thickness=thick, relax=1.0, fade=0.015)
    if style == "hat" or rng.random() < 0.8:
        reach = float(rng.uniform(0.05, 0.11)) if style == "hat" else 0.075
        wardrobe.drapes.append(make_brim(anatomy, layer, style == "hat", reach))


def _wrap(wardrobe: Wardrobe) -> None:
    """Wrap a scarf over hair, ears and neck."""
    anatomy = wardrobe.anatomy
    from_face = (anatomy.rest - anatomy.points["nose"] - np.array([0.0, 0.0, 0.02])) * np.array([1.25, 0.85, 0.6])
    above = anatomy.fields["up"] - wardrobe.heights["shoulder"] - 0.03
    field = np.minimum(np.linalg.norm(from_face, axis=1) - 0.095, above)
    field = np.where(anatomy.fields["arm"] > FAR, FAR, field)
    wardrobe.put(field, draw_cloth(wardrobe.rng, plain=0.75), thickness=0.02, folds=0.008, relax=0.9, fade=0.015)
