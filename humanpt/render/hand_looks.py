"""How hands look: skin of palm and back, nails, rings, watches, gloves, sleeves, and the arm behind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from humanpt.render.anatomy import FAR, Anatomy, Floats
from humanpt.render.forearms import make_forearm
from humanpt.render.look import Look, Wardrobe
from humanpt.render.materials import Material, draw_cloth, draw_colour, draw_skin, linear

_METALS = ((212, 175, 85), (200, 200, 205), (120, 118, 115))  # gold, silver, steel


def dress_hand(rng: np.random.Generator, anatomy: Anatomy) -> Look:
    """Draw the look of a hand."""
    wardrobe = Wardrobe(anatomy, rng)
    skin = draw_skin(rng)
    tint = _tint(wardrobe, skin)
    if rng.random() < 0.06:
        glove = draw_cloth(rng, plain=0.9)
        wardrobe.put(np.full(len(anatomy.rest), 0.1), glove, thickness=0.0015)
        arm = wardrobe.hang(glove)
    else:
        _paint_nails(wardrobe, skin)
        if rng.random() < 0.22:
            _put_rings(wardrobe)
        arm = -1
    if anatomy.rings:  # a mesh that is closed at the wrist shows nothing behind it
        _add_arm(wardrobe, arm)
    return wardrobe.look(skin, tint)


def _tint(wardrobe: Wardrobe, skin: Material) -> Floats:
    """Palms paler than backs, knuckles and tips redder, creases darker: factors (V, 3)."""
    rng, fields = wardrobe.rng, wardrobe.anatomy.fields
    base = np.array(skin.colour)
    palm = (np.clip(0.5 + 0.9 * fields["palm"], 0, 1) * np.clip(fields["past"] / 0.03, 0, 1))[:, None]
    paler = np.array([0.42, 0.26, 0.22])  # palms hold little pigment whatever the tone of the back
    share = float(rng.uniform(0.15, 0.75)) * min(1.0, 0.25 / (float(base.mean()) + 0.05)) * 0.6
    tint = (base + palm * share * np.maximum(paler - base, 0)) / base
    tint = tint * (1 + palm * np.array([0.04, -0.06, -0.05]) * rng.uniform(0, 1.5))
    blush, shade = float(rng.uniform(0.0, 0.35)), float(rng.uniform(0.1, 0.5))
    tint = tint * (1 + fields["blush"][:, None] * np.array([0.05, -0.55, -0.5]) * blush)
    result: Floats = tint * (1 - fields["shade"][:, None] * shade * np.array([0.7, 1.0, 1.0]))
    return result


def _paint_nails(wardrobe: Wardrobe, skin: Material) -> None:
    rng = wardrobe.rng
    pale = [min(0.85, 1.1 * value + 0.05) for value in skin.colour]
    colour = draw_colour(rng) if rng.random() < 0.15 else (pale[0], pale[1] * 0.92, pale[2] * 0.92)
    nail = Material(colour=colour, gloss=0.3, polish=40.0, mottle=0.05, through=0.5)
    wardrobe.put(wardrobe.anatomy.fields["nail"], nail, thickness=0.0004)


def _put_rings(wardrobe: Wardrobe) -> None:
    rng, anatomy = wardrobe.rng, wardrobe.anatomy
    points = list(anatomy.points.values())
    metal = Material(colour=linear(*_METALS[rng.integers(3)]), gloss=0.9, polish=50.0, grain=0.1)
    for finger in rng.choice([1, 2, 3, 4], size=int(rng.integers(1, 3)), replace=False):
        base, joint = points[1 + 4 * finger], points[2 + 4 * finger]
        length = float(np.linalg.norm(joint - base))
        axis = (joint - base) / length
        along = (anatomy.rest - base) @ axis
        off = np.linalg.norm(anatomy.rest - base - along[:, None] * axis, axis=1)
        band = 0.0028 - np.abs(along - 0.55 * length)
        wardrobe.put(np.where(off < 0.016, band, FAR), metal, thickness=0.0015, fade=0.002)


def _add_arm(wardrobe: Wardrobe, arm: int) -> None:
    """Add the arm behind the hand, and often a sleeve or a watch around it."""
    rng, anatomy = wardrobe.rng, wardrobe.anatomy
    bend = (float(rng.normal(0, 0.3)), float(rng.normal(0, 0.3)))
    long, elbow = float(rng.uniform(0.16, 0.32)), float(rng.uniform(1.3, 1.7))
    sleeved = rng.random() < 0.55
    start = float(rng.choice([0.003, 0.02, 0.06, 0.1])) if sleeved else float(rng.uniform(0.008, 0.03))
    bare = start + 0.06 if sleeved else long  # what a sleeve hides need not be drawn
    wide = 1.0 + (elbow - 1.0) * bare / long
    wardrobe.drapes.append(make_forearm(anatomy, arm, 0.0, bare, (1.0, wide), bend, False))
    if sleeved:
        cuff = float(rng.uniform(1.15, 1.7))
        width = (cuff, cuff * float(rng.uniform(1.1, 1.6)))
        sleeve = wardrobe.hang(draw_cloth(rng))
        wardrobe.drapes.append(make_forearm(anatomy, sleeve, start, long + 0.02, width, bend, True))
    elif rng.random() < 0.25:
        end = start + float(rng.uniform(0.006, 0.022))
        strap = wardrobe.hang(replace(draw_cloth(rng, plain=1.0), gloss=0.3, polish=30.0))
        wardrobe.drapes.append(make_forearm(anatomy, strap, start, end, (1.12, 1.14), bend, True))
