"""What bodies wear: outfits of tops, trousers, skirts, coats, swimwear and shoes, and skin where they end.

Garments are fields over the reference pose: metres inside their border. Heights count from the floor up.

Letters: V vertices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from humanpt.render.anatomy import FAR, Anatomy, Floats
from humanpt.render.heads import dress_face, dress_head
from humanpt.render.look import Look, Wardrobe
from humanpt.render.materials import Material, draw_cloth, draw_hair, draw_skin, linear
from humanpt.render.skirts import make_skirt


def dress_body(rng: np.random.Generator, anatomy: Anatomy) -> Look:
    """Draw the look of a person."""
    wardrobe = Wardrobe(anatomy, rng)
    skin, hair = draw_skin(rng), draw_hair(rng)
    blush, shade = float(rng.uniform(0.0, 0.25)), float(rng.uniform(0.0, 0.35))
    tint = 1 + anatomy.fields["blush"][:, None] * np.array([0.1, -0.9, -0.7]) * blush
    tint = tint * (1 - anatomy.fields["shade"][:, None] * shade)
    dress_face(wardrobe, skin, hair)
    wear, _, barefoot = _OUTFITS[int(rng.choice(len(_OUTFITS), p=_weights()))]
    if rng.random() >= barefoot:
        _put_shoes(wardrobe)
    wear(_Fit(wardrobe))
    dress_head(wardrobe, hair, bare=wear in (_wear_bare_chest, _wear_bikini, _wear_swimsuit))
    _dress_wrists(wardrobe)
    return wardrobe.look(skin, tint)


class _Fit:
    """The measures of a body, drawn cuts, and the garments made to them."""

    def __init__(self, wardrobe: Wardrobe) -> None:
        anatomy, rng = wardrobe.anatomy, wardrobe.rng
        self.wardrobe, self.rng = wardrobe, rng
        self.x, self.z = anatomy.rest[:, 0], anatomy.rest[:, 2]
        self.up, self.arm = anatomy.fields["up"], anatomy.fields["arm"]
        self.on_arm = self.arm > FAR
        self.level = wardrobe.heights
        self.length = float(self.arm.max() - 0.2)  # of an arm, to the wrist
        self.trunk = self.level["shoulder"] - self.level["hip"]
        self.crotch = self.level["hip"] - 0.07
        points = anatomy.points
        self.neck_z = float((points["left_shoulder"][2] + points["right_shoulder"][2]) / 2)
        self.waist = self.level["hip"] + float(rng.uniform(0.02, 0.14))
        self.loose = float(rng.uniform(0.0, 1.0) ** 1.5)
        self.long_hem = self.level["ankle"] + float(rng.choice([-0.03, 0.0, 0.06, 0.14], p=[0.4, 0.3, 0.2, 0.1]))
        self.short_hem = float(rng.uniform(self.level["knee"] - 0.08, self.crotch - 0.06))
        tucked = rng.random() < 0.25
        self.hem = self.waist - 0.03 if tucked else self.level["hip"] - float(rng.uniform(-0.08, 0.12))
        self.neck = float(rng.choice([-0.03, 0.0, 0.02, 0.05]))
        self.vee = float(rng.choice([0.0, 0.0, 0.08, 0.14]))
        reaches = [-0.015, 0.13, 0.2, 0.33, self.length - 0.1, self.length - 0.02]
        self.sleeve = float(rng.choice(reaches, p=[0.1, 0.2, 0.2, 0.08, 0.12, 0.3]))
        denim = linear(*(float(v) for v in np.array([62, 84, 122]) * rng.uniform(0.5, 1.6) + rng.normal(0, 4, 3)))
        self.lower = draw_cloth(rng, denim if rng.random() < 0.35 else None, plain=0.85)
        self.upper = draw_cloth(rng, plain=0.55)

    def top(self, sleeve: float, hem: float, neck: float, vee: float = 0.0, strap: float = 1.0) -> Floats:
        """Where a shirt lies.

        Args:
            sleeve: its length down the arm.
            hem: height of its lower edge.
            neck: how much wider the neckline is than a crew neck.
            vee: how deep the neckline reaches in front.
            strap: half the width left over the shoulders.
        """
        shoulder, up, x, z = self.level["shoulder"], self.up, self.x, self.z
        opening = shoulder + 0.065 - neck - up + 0.55 * (z - self.neck_z)
        beside = 0.8 * (np.hypot(x, z - self.neck_z - 0.015) - 0.075 - 0.8 * max(0.0, neck))
        opening = np.maximum(opening, np.minimum(beside, shoulder + 0.05 - up))  # shoulders are covered
        opening = opening - np.where(z < self.neck_z, vee * np.maximum(0.0, 1.0 - np.abs(x) / 0.09), 0.0)
        sides = np.where(up > shoulder - 0.13, strap - np.abs(x), strap)
        body = np.minimum(np.minimum(up - hem, opening), sides)
        return np.where(self.on_arm, np.minimum(sleeve - self.arm, opening), body)

    def bottom(self, waist: float, hem: float) -> Floats:
        """Where trousers lie between two heights."""
        return np.where(self.on_arm, FAR, np.minimum(waist - self.up, self.up - hem))

    def briefs(self, waist: float) -> Floats:
        """Where short underwear lies, cut up the thighs."""
        cut = self.up - self.crotch + 0.02 - np.maximum(0.0, 0.9 * np.abs(self.x) - 0.03)
        return np.where(self.on_arm, FAR, np.minimum(waist - self.up, cut))

    def in_front(self, field: Floats, gap: Floats) -> Floats:
        """Open a top in front: only where `gap` is positive too."""
        return np.where(self.z < self.neck_z, np.minimum(field, np.where(self.on_arm, 1.0, gap)), field)

    def trousers(self, material: Material, hem: float, wide: float) -> None:
        """Put on trousers down to a height; 0 is tight, 1 wide."""
        thick, folds = 0.006 + 0.02 * wide, 0.004 + 0.012 * wide
        field = self.bottom(self.waist, hem)
        self.wardrobe.put(field, material, thickness=thick, folds=folds, relax=0.5 + 0.5 * wide, fade=0.02)
        if self.rng.random() < 0.2:
            belt = replace(draw_cloth(self.rng, plain=1.0), gloss=0.1, polish=20.0)
            self.wardrobe.put(self.bottom(self.waist, self.waist - 0.035), belt, thickness=thick + 0.004, fade=0.006)

    def shirt(self, material: Material, field: Floats, wide: float) -> None:
        """Put on a shirt; 0 is tight, 1 wide."""
        thick, folds = 0.006 + 0.018 * wide, 0.005 + 0.012 * wide
        self.wardrobe.put(field, material, thickness=thick, folds=folds, relax=0.6 + 0.4 * wide, fade=0.02)
        if self.rng.random() < 0.14:
            self._print(field, thick)

    def _print(self, field: Floats, thick: float) -> None:
        """Print something on the chest or the back."""
        rng = self.rng
        half = rng.uniform([0.03, 0.02], [0.12, 0.12])
        x, up = self.x - float(rng.choice([0.0, 0.0, 0.07])), self.up - self.level["hip"] - self.trunk * 0.7
        patch = np.minimum(half[0] - np.abs(x), half[1] - np.abs(up))
        if rng.random() < 0.4:
            patch = half[0] - np.hypot(x, up)
        side = self.z < self.neck_z if rng.random() < 0.75 else self.z > self.neck_z
        patch = np.where(side & ~self.on_arm, np.minimum(patch, field - 0.01), FAR)
        self.wardrobe.put(patch, draw_cloth(rng, plain=0.4), thickness=thick, fade=0.004)

    def skirt(self, material: Material, top: float, hem: float, slack: tuple[float, float], spread: float) -> None:
        """Hang a tube from one height to another; `spread` from 0 (narrow) to 1 (full)."""
        rng, layer = self.rng, self.wardrobe.hang(material)
        flare, ripple = float(rng.uniform(0.97, 1.02 + 0.08 * spread)), float(rng.uniform(0.005, 0.01 + 0.06 * spread))
        self.wardrobe.drapes.append(make_skirt(self.wardrobe.anatomy, layer, top, hem, rng, slack, flare, ripple))


def _wear_trousers(fit: _Fit) -> None:
    fit.trousers(fit.lower, fit.long_hem, 0.8 * fit.loose)
    _wear_top(fit)


def _wear_shorts(fit: _Fit) -> None:
    fit.trousers(fit.lower, fit.short_hem, 1.2 * fit.loose)
    _wear_top(fit)


def _wear_top(fit: _Fit) -> None:
    rng = fit.rng
    if rng.random() < 0.12:
        fit.shirt(fit.upper, fit.top(-0.02, fit.hem, 0.06, strap=float(rng.uniform(0.1, 0.14))), 0.3 * fit.loose)
        return
    fit.shirt(fit.upper, fit.top(fit.sleeve, fit.hem, fit.neck, fit.vee), fit.loose)
    if rng.random() < 0.18:  # something open over it
        field = fit.top(fit.length - 0.02, fit.level["hip"] - 0.1, 0.0)
        field = fit.in_front(field, np.abs(fit.x) - float(rng.uniform(0.02, 0.07)))
        over = draw_cloth(rng, plain=0.7)
        fit.wardrobe.put(field, over, thickness=0.02 + 0.012 * fit.loose, folds=0.008, relax=0.9, fade=0.01)


def _wear_bare_chest(fit: _Fit) -> None:
    long = fit.rng.random() < 0.25
    fit.trousers(fit.lower, fit.long_hem if long else fit.short_hem, (0.8 if long else 1.2) * fit.loose)


def _wear_skirt(fit: _Fit) -> None:
    _wear_under_skirt(fit)
    fit.shirt(fit.upper, fit.top(fit.sleeve, fit.waist - 0.06, fit.neck, fit.vee), 0.4 * fit.loose)
    _hang_skirt(fit, fit.lower)


def _wear_dress(fit: _Fit) -> None:
    _wear_under_skirt(fit)
    straps = fit.rng.random() < 0.4
    strap = float(fit.rng.uniform(0.09, 0.14)) if straps else 1.0
    sleeve = -0.02 if straps else fit.sleeve
    fit.shirt(fit.upper, fit.top(sleeve, fit.waist - 0.06, fit.neck + 0.03, fit.vee, strap), 0.4 * fit.loose)
    _hang_skirt(fit, fit.upper)


def _wear_under_skirt(fit: _Fit) -> None:
    fit.wardrobe.put(fit.briefs(fit.crotch + 0.12), draw_cloth(fit.rng, plain=1.0), thickness=0.003)
    if fit.rng.random() < 0.3:  # tights
        tights = draw_cloth(fit.rng, plain=0.95)
        fit.wardrobe.put(fit.bottom(fit.waist, fit.level["ankle"] - 0.02), tights, thickness=0.002)


def _hang_skirt(fit: _Fit, material: Material) -> None:
    drop = float(fit.rng.choice([0.12, 0.3, 0.42, 0.6, 0.75], p=[0.12, 0.28, 0.3, 0.2, 0.1]))
    slack = (0.016, float(fit.rng.uniform(0.02, 0.07)))
    fit.skirt(material, fit.waist + 0.02, max(0.05, fit.crotch + 0.05 - drop), slack, 1.0)


def _wear_suit(fit: _Fit) -> None:
    rng, up, x = fit.rng, fit.up, fit.x
    dark = draw_cloth(rng, plain=0.75)
    fit.trousers(dark, fit.level["ankle"] - 0.03, 0.5)
    white = draw_cloth(rng, linear(232, 232, 232) if rng.random() < 0.6 else None, plain=0.8)
    fit.shirt(white, fit.top(fit.length - 0.01, fit.waist - 0.03, -0.03), 0.2)
    if rng.random() < 0.7:
        down = np.clip((fit.level["shoulder"] - up) / 0.4, 0, 1)
        tie = np.minimum(0.014 + 0.02 * down - np.abs(x), np.minimum(up - fit.waist, fit.level["shoulder"] + 0.02 - up))
        tie = np.where(fit.z < fit.neck_z - 0.03, tie, FAR)
        fit.wardrobe.put(tie, draw_cloth(rng, plain=0.4), thickness=0.014, fade=0.006)
    opens = fit.level["hip"] + 0.45 * fit.trunk
    lapel = np.abs(x) - 0.005 - 0.33 * np.maximum(0.0, up - opens) * rng.uniform(0.7, 1.2)
    jacket = fit.in_front(fit.top(fit.length - 0.025, fit.level["hip"] - 0.14, -0.01), lapel)
    fit.wardrobe.put(jacket, dark, thickness=0.022, folds=0.006, relax=1.0, fade=0.008)


def _wear_coat(fit: _Fit) -> None:
    fit.trousers(fit.lower, fit.long_hem, 0.3 * fit.loose)
    coat = draw_cloth(fit.rng, plain=0.85)
    fit.shirt(coat, fit.top(fit.length - 0.01, fit.level["hip"] - 0.02, -0.04), 0.7 + 0.3 * fit.loose)
    hem = max(0.15, fit.crotch - float(fit.rng.uniform(0.1, 0.6)))
    fit.skirt(coat, fit.waist - 0.02, hem, (0.035, 0.05), 0.3)


def _wear_overall(fit: _Fit) -> None:
    wide = 0.3 + 0.6 * fit.loose
    fit.trousers(fit.lower, fit.long_hem, wide)
    fit.shirt(fit.lower, fit.top(fit.sleeve, fit.level["hip"] - 0.02, fit.neck, fit.vee), wide)


def _wear_sport(fit: _Fit) -> None:
    rng, level = fit.rng, fit.level
    hem = float(rng.choice([level["ankle"] - 0.02, level["knee"] + 0.12]))
    fit.wardrobe.put(fit.bottom(fit.waist, hem), fit.lower, thickness=0.003)
    midriff = float(rng.choice([level["hip"] + 0.1, level["hip"] + 0.55 * fit.trunk]))
    fit.shirt(fit.upper, fit.top(-0.02, midriff, 0.06, strap=0.12), 0.1)


def _wear_bikini(fit: _Fit) -> None:
    cloth = draw_cloth(fit.rng, plain=0.6)
    fit.wardrobe.put(fit.briefs(fit.crotch + 0.14), cloth, thickness=0.003, fade=0.006)
    bust = fit.level["hip"] + 0.68 * fit.trunk
    cups = np.where(fit.z < fit.neck_z, 0.065, 0.012) - np.abs(fit.up - bust)
    fit.wardrobe.put(np.where(fit.on_arm, FAR, cups), cloth, thickness=0.004, fade=0.006)


def _wear_swimsuit(fit: _Fit) -> None:
    rng = fit.rng
    neck, strap = float(rng.uniform(0.06, 0.14)), float(rng.uniform(0.08, 0.12))
    field = np.minimum(fit.top(-0.03, fit.crotch - 0.05, neck, strap=strap), fit.briefs(10.0))
    fit.wardrobe.put(field, draw_cloth(rng, plain=0.6), thickness=0.003, fade=0.006)


# Outfits, how often each is drawn, and how often without shoes. Bare skin is commoner than in the street: detectors
# that rarely see it miss it.
_OUTFITS: tuple[tuple[Callable[[_Fit], None], float, float], ...] = (
    (_wear_trousers, 0.34, 0.1),
    (_wear_shorts, 0.13, 0.15),
    (_wear_bare_chest, 0.12, 0.6),
    (_wear_dress, 0.08, 0.15),
    (_wear_skirt, 0.07, 0.1),
    (_wear_suit, 0.07, 0.02),
    (_wear_coat, 0.06, 0.02),
    (_wear_overall, 0.04, 0.1),
    (_wear_sport, 0.03, 0.15),
    (_wear_bikini, 0.03, 0.95),
    (_wear_swimsuit, 0.03, 0.95),
)


def _weights() -> Floats:
    weights = np.array([weight for _, weight, _ in _OUTFITS])
    result: Floats = weights / weights.sum()
    return result


def _put_shoes(wardrobe: Wardrobe) -> None:
    """Put on socks, shoes or boots, and soles."""
    rng, foot = wardrobe.rng, wardrobe.anatomy.fields["foot"]
    if rng.random() < 0.6:
        wardrobe.put(foot + float(rng.choice([0.04, 0.1, 0.25])), draw_cloth(rng, plain=0.85), thickness=0.003)
    high = float(rng.choice([-0.015, 0.03, 0.18, 0.3], p=[0.55, 0.3, 0.1, 0.05]))
    shoe = replace(draw_cloth(rng, plain=0.8), gloss=float(rng.uniform(0.02, 0.3)), polish=float(rng.uniform(10, 50)))
    wardrobe.put(foot + high, shoe, thickness=float(rng.uniform(0.008, 0.016)), relax=0.9, fade=0.008)
    if rng.random() < 0.5:
        sole = draw_cloth(rng, linear(215, 212, 205) if rng.random() < 0.5 else None, plain=1.0)
        wardrobe.put(float(rng.uniform(0.012, 0.03)) - wardrobe.anatomy.fields["up"], sole, thickness=0.018)


def _dress_wrists(wardrobe: Wardrobe) -> None:
    """Put on gloves now and then, a watch more often."""
    rng, hand = wardrobe.rng, wardrobe.anatomy.fields["hand"]
    if rng.random() < 0.04:
        wardrobe.put(np.where(hand > FAR, hand + 0.02, FAR), draw_cloth(rng, plain=0.9), thickness=0.003)
    elif rng.random() < 0.2:
        side = (rng.choice([-1, 1]) * wardrobe.anatomy.rest[:, 0] > 0) & (hand > FAR)
        strap = replace(draw_cloth(rng, plain=1.0), gloss=0.3, polish=30.0)
        wardrobe.put(np.where(side, 0.014 - np.abs(hand + 0.03), FAR), strap, thickness=0.004)
