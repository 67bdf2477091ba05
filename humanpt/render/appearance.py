"""How people look: skin, hair and clothes of a body, skin, nails, rings and sleeves of a hand.

A look belongs to one body model and holds what the renderer needs per vertex, so that the same look serves every
shape, pose and view: where each layer (shirt, trousers, hair, nail) lies, what it is made of, how far it stands off the
skin, and what hangs on the body besides. Drawn anew for every person; nothing in it depends on the camera.

Letters: V vertices, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from humanpt.body.model import BodyModel
from humanpt.render.anatomy import FAR, Anatomy, Floats, study
from humanpt.render.drapes import Drape, make_brim, make_forearm, make_long_hair, make_skirt, make_tail
from humanpt.render.materials import Colour, Material, draw_cloth, draw_colour, draw_hair, draw_skin, linear
from humanpt.render.textures import noise

LookSubject = Literal["body", "hand", "prop"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """The appearance of one person, hand or prop."""

    subject: LookSubject
    """What it dresses."""

    base: Material
    """What everything is made of where no layer lies: skin, or a prop's surface."""

    layers: tuple[Material, ...] = ()
    """What lies on it; later ones cover earlier ones."""

    fields: Tensor | None = None
    """(V, L) float32 metres inside the border of each layer; negative outside."""

    tint: Tensor | None = None
    """(V, 3) float32 factors of the base colour: lips, knuckles, palms."""

    lift: Tensor | None = None
    """(V,) float32 metres that the surface stands off the skin: the thickness and the folds of clothes and hair."""

    relax: Tensor | None = None
    """(V,) float32 how much the shape under clothes is smoothed away, 0 to 1."""

    drapes: tuple[Drape, ...] = ()
    """What hangs on it: skirts, long hair, hats, forearms, sleeves."""

    relaxed: bool = False
    """Whether `relax` is more than 0 anywhere."""


def anatomy_of(model: BodyModel) -> Anatomy:
    """Study a body model, once for each kind of model."""
    layout = model.layout
    key = (layout.name, layout.side, layout.topology)
    if key not in _STUDIED:
        with torch.no_grad():
            mesh = model(model.mean_shape(), model.identity_pose(), torch.zeros(1, 3, device=model.canonical.device))
        names, points = layout.keypoint_names, mesh.keypoints[0].double().cpu().numpy()
        _STUDIED[key] = study(
            layout.subject,
            mesh.vertices[0].double().cpu().numpy(),
            model.faces.cpu().numpy(),
            {name: points[number] for number, name in enumerate(names)},
        )
    return _STUDIED[key]


_STUDIED: dict[tuple[str, str, str], Anatomy] = {}


def draw_look(rng: np.random.Generator, subject: LookSubject, model: BodyModel | None = None) -> Look:
    """Draw the look of a person, a hand or a prop.

    Args:
        rng: where chance comes from; the same state gives the same look.
        subject: what is dressed.
        model: whose vertices are dressed; none for props.

    Raises:
        ValueError: if a body or hand comes without its model, or with a model of the other kind.
    """
    if subject == "prop":
        return Look(subject="prop", base=draw_surface(rng))
    if model is None or model.layout.subject != subject:
        raise ValueError(f"the look of a {subject} needs a {subject} model, got {model and model.layout.name}")
    return dress(rng, anatomy_of(model))


def dress(rng: np.random.Generator, anatomy: Anatomy) -> Look:
    """Draw the look of a person or a hand of which the anatomy is known."""
    return _dress_body(rng, anatomy) if anatomy.subject == "body" else _dress_hand(rng, anatomy)


def draw_surface(rng: np.random.Generator) -> Material:
    """Draw what a prop is made of: cloth, wood, plastic, metal, cardboard."""
    cloth = draw_cloth(rng, plain=0.5)
    if rng.random() < 0.5:
        return replace(cloth, gloss=float(rng.uniform(0.05, 0.5)), polish=float(rng.uniform(10, 80)), bump=0.02)
    return cloth


class _Wardrobe:
    """Collects layers and drapes while a look is drawn."""

    def __init__(self, anatomy: Anatomy, rng: np.random.Generator) -> None:
        self.anatomy, self.rng = anatomy, rng
        self.materials: list[Material] = []
        self.fields: list[Floats] = []
        self.drapes: list[Drape] = []
        self.lift = np.zeros(len(anatomy.rest))
        self.relax = np.zeros(len(anatomy.rest))
        self.rough = _rough(anatomy.rest, float(rng.uniform(-9, 9)), 0.9)
        self.fine = _rough(anatomy.rest, float(rng.uniform(-9, 9)), 0.45)

    def put(
        self,
        field: Floats,
        material: Material,
        *,
        thickness: float = 0.0,
        fade: float = 0.012,
        folds: float = 0.0,
        relax: float = 0.0,
        ragged: float = 0.0,
    ) -> int:
        """Add a layer; lengths in metres. Returns its number."""
        if ragged:
            field = field + ragged * (0.6 * self.rough[:, 0] + 0.6 * self.fine[:, 1])
        inside = np.clip(field / fade, 0.0, 1.0)
        crease = 0.6 * self.rough[:, 2] + 0.4 * self.fine[:, 2]
        self.lift = np.maximum(self.lift, inside * (thickness + folds * crease))
        self.relax = np.maximum(self.relax, inside * relax)
        self.materials.append(material)
        self.fields.append(np.clip(field, -0.1, 0.1))
        return len(self.materials) - 1

    def hang(self, material: Material) -> int:
        """Add a material that only drapes use. Returns its number."""
        self.materials.append(material)
        self.fields.append(np.full(len(self.anatomy.rest), -0.1))
        return len(self.materials) - 1

    def look(self, base: Material, tint: Floats) -> Look:
        """Finish."""
        fields = np.stack(self.fields, 1) if self.fields else np.zeros((len(self.anatomy.rest), 0))
        return Look(
            subject=self.anatomy.subject,
            base=base,
            layers=tuple(self.materials),
            fields=torch.from_numpy(fields).float(),
            tint=torch.from_numpy(tint).float(),
            lift=torch.from_numpy(self.lift).float(),
            relax=torch.from_numpy(self.relax).float(),
            drapes=tuple(self.drapes),
            relaxed=bool((self.relax > 0).any()),
        )


def _rough(rest: Floats, offset: float, scale: float) -> Floats:
    """Solid noise at the vertices: (V, C)."""
    result: Floats = noise(torch.from_numpy(rest.T + offset).float(), scale).t().double().numpy()
    return result


# Outfits and how often each is drawn. Bare skin is commoner than in the street: detectors miss it otherwise.
_OUTFITS = {
    "top_trousers": 0.34,
    "top_shorts": 0.13,
    "top_skirt": 0.07,
    "dress": 0.08,
    "suit": 0.07,
    "bare_shorts": 0.09,
    "bare_trousers": 0.03,
    "bikini": 0.03,
    "swimsuit": 0.03,
    "overall": 0.04,
    "coat": 0.06,
    "sport": 0.03,
}


def _dress_body(rng: np.random.Generator, anatomy: Anatomy) -> Look:
    wardrobe = _Wardrobe(anatomy, rng)
    skin = draw_skin(rng)
    fields = anatomy.fields
    tint = np.ones((len(anatomy.rest), 3))
    blush, shade = float(rng.uniform(0.0, 0.25)), float(rng.uniform(0.0, 0.35))
    tint *= 1 + fields["blush"][:, None] * np.array([0.1, -0.9, -0.7]) * blush
    tint *= 1 - fields["shade"][:, None] * shade
    hair = draw_hair(rng)
    _dress_face(wardrobe, skin, hair)
    outfit = rng.choice(list(_OUTFITS), p=np.array(list(_OUTFITS.values())) / sum(_OUTFITS.values()))
    _dress_feet(wardrobe, bare=outfit in ("bikini", "swimsuit") or (outfit.startswith("bare") and rng.random() < 0.6))
    _dress_trunk(wardrobe, str(outfit))
    _dress_head(wardrobe, hair)
    if rng.random() < 0.04:
        material = draw_cloth(rng, plain=0.9)
        wardrobe.put(np.where(fields["hand"] > FAR, fields["hand"] + 0.02, FAR), material, thickness=0.003)
    elif rng.random() < 0.2:  # a watch or a bracelet on both wrists is rare; one side only
        side = rng.choice([-1, 1])
        band = 0.014 - np.abs(fields["hand"] + 0.03)
        wardrobe.put(
            np.where((fields["hand"] > FAR) & (side * anatomy.rest[:, 0] > 0), band, FAR),
            replace(draw_cloth(rng, plain=1.0), gloss=0.3, polish=30.0),
            thickness=0.004,
        )
    return wardrobe.look(skin, tint)


def _heights(anatomy: Anatomy) -> dict[str, float]:
    """Heights above the floor of the reference pose that garments are measured by."""
    points, floor = anatomy.points, anatomy.rest[:, 1].max()

    def of(name: str) -> float:
        return float(floor - (points[f"left_{name}"][1] + points[f"right_{name}"][1]) / 2)

    return {name: of(name) for name in ("shoulder", "hip", "knee", "ankle", "eye")}


def _dress_trunk(wardrobe: _Wardrobe, outfit: str) -> None:
    anatomy, rng = wardrobe.anatomy, wardrobe.rng
    up, arm = anatomy.fields["up"], anatomy.fields["arm"]
    x, z = anatomy.rest[:, 0], anatomy.rest[:, 2]
    level = _heights(anatomy)
    on_arm = arm > FAR
    length = float(arm.max() - 0.2)
    trunk = level["shoulder"] - level["hip"]  # about 0.54
    crotch = level["hip"] - 0.07
    neck_z = float((anatomy.points["left_shoulder"][2] + anatomy.points["right_shoulder"][2]) / 2)

    def top(sleeve: float, hem: float, neck: float, vee: float = 0.0, strap: float = 1.0) -> Floats:
        collar = level["shoulder"] + 0.065 - neck
        opening = collar - up + 0.55 * (z - neck_z)
        beside = 0.8 * (np.hypot(x, z - neck_z - 0.015) - 0.075 - 0.8 * max(0.0, neck))  # shoulders are covered
        opening = np.maximum(opening, np.minimum(beside, level["shoulder"] + 0.05 - up))
        opening = opening - np.where(z < neck_z, vee * np.maximum(0.0, 1.0 - np.abs(x) / 0.09), 0.0)
        armpit = level["shoulder"] - 0.13
        body = np.minimum(np.minimum(up - hem, opening), np.where(up > armpit, strap - np.abs(x), strap))
        return np.where(on_arm, np.minimum(sleeve - arm, opening), body)

    def bottom(waist: float, hem: float, cut: float = 0.0) -> Floats:
        return np.where(on_arm, FAR, np.minimum(waist - up, up - hem - cut * np.abs(x)))

    waist = level["hip"] + float(rng.uniform(0.02, 0.14))
    loose = float(rng.uniform(0.0, 1.0) ** 1.5)

    def trousers(material: Material, hem: float, wide: float) -> None:
        wardrobe.put(
            bottom(waist, hem),
            material,
            thickness=0.006 + 0.02 * wide,
            folds=0.004 + 0.012 * wide,
            relax=0.5 + 0.5 * wide,
            fade=0.02,
        )

    def shirt(material: Material, sleeve: float, hem: float, neck: float, wide: float, **cut: float) -> None:
        wardrobe.put(
            top(sleeve, hem, neck, **cut),
            material,
            thickness=0.006 + 0.018 * wide,
            folds=0.005 + 0.012 * wide,
            relax=0.6 + 0.4 * wide,
            fade=0.02,
        )

    def sleeves() -> float:
        return float(
            rng.choice([-0.015, 0.13, 0.2, 0.33, length - 0.1, length - 0.02], p=[0.1, 0.2, 0.2, 0.08, 0.12, 0.3])
        )

    ankle = level["ankle"]
    long_hem = ankle + float(rng.choice([-0.03, 0.0, 0.06, 0.14], p=[0.4, 0.3, 0.2, 0.1]))
    short_hem = float(rng.uniform(level["knee"] - 0.08, crotch - 0.06))
    tucked = waist - 0.03
    hem = tucked if rng.random() < 0.25 else level["hip"] - float(rng.uniform(-0.08, 0.12))
    neck = float(rng.choice([-0.03, 0.0, 0.02, 0.05]))
    vee = float(rng.choice([0.0, 0.0, 0.08, 0.14]))
    denim = linear(*(float(v) for v in np.array([62, 84, 122]) * rng.uniform(0.5, 1.6) + rng.normal(0, 4, 3)))
    lower = draw_cloth(rng, denim if rng.random() < 0.35 else None, plain=0.85)
    upper = draw_cloth(rng, plain=0.55)
    if outfit in ("top_trousers", "top_shorts", "bare_shorts", "bare_trousers"):
        long = outfit.endswith("trousers")
        trousers(lower, long_hem if long else short_hem, loose * (0.8 if long else 1.2))
        if outfit.startswith("top"):
            if rng.random() < 0.12:
                shirt(upper, -0.02, hem, 0.06, 0.3 * loose, strap=float(rng.uniform(0.1, 0.14)))
            else:
                shirt(upper, sleeves(), hem, neck, loose, vee=vee)
                if rng.random() < 0.18:  # something open over it
                    over = draw_cloth(rng, plain=0.7)
                    field = top(length - 0.02, level["hip"] - 0.1, 0.0)
                    gap = np.abs(x) - float(rng.uniform(0.02, 0.07))
                    field = np.where(z < neck_z, np.minimum(field, np.where(on_arm, 1.0, gap)), field)
                    wardrobe.put(field, over, thickness=0.02 + 0.012 * loose, folds=0.008, relax=0.9, fade=0.01)
        elif rng.random() < 0.25:
            wardrobe.put(bottom(waist + 0.03, waist), draw_cloth(rng, plain=0.9), thickness=0.008)
    elif outfit in ("top_skirt", "dress"):
        drop = float(rng.choice([0.12, 0.3, 0.42, 0.6, 0.75], p=[0.12, 0.28, 0.3, 0.2, 0.1]))
        material = upper if outfit == "dress" else lower
        wardrobe.put(bottom(crotch + 0.12, crotch, 0.35), draw_cloth(rng, plain=1.0), thickness=0.003)
        if rng.random() < 0.3:  # tights or leggings
            wardrobe.put(bottom(waist, ankle - 0.02), draw_cloth(rng, plain=0.95), thickness=0.002)
        strap = float(rng.uniform(0.09, 0.14)) if outfit == "dress" and rng.random() < 0.4 else 1.0
        shirt(upper, -0.02 if strap < 1 else sleeves(), waist - 0.06, neck + 0.03, 0.4 * loose, vee=vee, strap=strap)
        flare = float(rng.uniform(0.97, 1.1))
        wardrobe.drapes.append(
            make_skirt(
                anatomy,
                wardrobe.hang(material),
                waist + 0.02,
                max(0.05, crotch + 0.05 - drop),
                rng,
                (0.016, float(rng.uniform(0.02, 0.07))),
                flare,
                float(rng.uniform(0.01, 0.07)),
            )
        )
    elif outfit == "suit":
        dark = draw_cloth(rng, plain=0.75)
        trousers(dark, ankle - 0.03, 0.5)
        shirt(
            draw_cloth(rng, linear(232, 232, 232) if rng.random() < 0.6 else None, plain=0.8),
            length - 0.01,
            tucked,
            -0.03,
            0.2,
        )
        if rng.random() < 0.7:
            down = np.clip((level["shoulder"] - up) / 0.4, 0, 1)
            tie = np.minimum(np.minimum(0.014 + 0.02 * down - np.abs(x), up - waist), level["shoulder"] + 0.02 - up)
            wardrobe.put(np.where(z < neck_z - 0.03, tie, FAR), draw_cloth(rng, plain=0.4), thickness=0.014, fade=0.006)
        field = top(length - 0.025, level["hip"] - 0.14, -0.01)
        lapel = np.abs(x) - 0.005 - 0.33 * np.maximum(0.0, up - (level["hip"] + 0.45 * trunk)) * rng.uniform(0.7, 1.2)
        field = np.where(z < neck_z, np.minimum(field, np.where(on_arm, 1.0, lapel)), field)
        wardrobe.put(field, dark, thickness=0.022, folds=0.006, relax=1.0, fade=0.008)
    elif outfit == "coat":
        trousers(lower, long_hem, 0.3 * loose)
        coat = draw_cloth(rng, plain=0.85)
        shirt(coat, length - 0.01, level["hip"] - 0.02, -0.04, 0.7 + 0.3 * loose)
        wardrobe.drapes.append(
            make_skirt(
                anatomy,
                wardrobe.hang(coat),
                waist - 0.02,
                max(0.15, crotch - float(rng.uniform(0.1, 0.6))),
                rng,
                (0.035, 0.05),
                float(rng.uniform(0.98, 1.05)),
                float(rng.uniform(0.005, 0.03)),
            )
        )
    elif outfit == "overall":
        wide = 0.3 + 0.6 * loose
        trousers(lower, long_hem, wide)
        shirt(lower, sleeves(), level["hip"] - 0.02, neck, wide, vee=vee)
    elif outfit == "sport":
        wardrobe.put(bottom(waist, float(rng.choice([ankle - 0.02, level["knee"] + 0.12]))), lower, thickness=0.003)
        shirt(upper, -0.02, float(rng.choice([level["hip"] + 0.1, level["hip"] + 0.55 * trunk])), 0.06, 0.1, strap=0.12)
    elif outfit == "bikini":
        cloth = draw_cloth(rng, plain=0.6)
        wardrobe.put(
            bottom(crotch + 0.14, crotch - 0.02, -0.0) - np.maximum(0, np.abs(x) * 0.9 - (up - crotch)),
            cloth,
            thickness=0.003,
            fade=0.006,
        )
        bust = level["hip"] + 0.68 * trunk
        cups = np.where(z < neck_z, 0.065, 0.012) - np.abs(up - bust)
        wardrobe.put(np.where(on_arm, FAR, cups), cloth, thickness=0.004, fade=0.006)
    else:
        cloth = draw_cloth(rng, plain=0.6)
        field = np.minimum(
            top(-0.03, crotch, float(rng.uniform(0.06, 0.14)), strap=float(rng.uniform(0.08, 0.12))),
            up - crotch + 0.02 - np.maximum(0, np.abs(x) * 0.9 - 0.03),
        )
        wardrobe.put(field, cloth, thickness=0.003, fade=0.006)


def _dress_feet(wardrobe: _Wardrobe, bare: bool) -> None:
    anatomy, rng = wardrobe.anatomy, wardrobe.rng
    foot = anatomy.fields["foot"]
    if bare or rng.random() < 0.12:
        return
    if rng.random() < 0.6:
        wardrobe.put(foot + float(rng.choice([0.04, 0.1, 0.25])), draw_cloth(rng, plain=0.85), thickness=0.003)
    high = float(rng.choice([-0.015, 0.03, 0.18, 0.3], p=[0.55, 0.3, 0.1, 0.05]))
    shoe = replace(draw_cloth(rng, plain=0.8), gloss=float(rng.uniform(0.02, 0.3)), polish=float(rng.uniform(10, 50)))
    wardrobe.put(foot + high, shoe, thickness=float(rng.uniform(0.008, 0.016)), relax=0.9, fade=0.008)
    if rng.random() < 0.5:
        sole = float(rng.uniform(0.012, 0.03)) - anatomy.fields["up"]
        wardrobe.put(
            sole, draw_cloth(rng, linear(215, 212, 205) if rng.random() < 0.5 else None, plain=1.0), thickness=0.018
        )


def _dress_face(wardrobe: _Wardrobe, skin: Material, hair: Material) -> None:
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


def _dress_head(wardrobe: _Wardrobe, hair: Material) -> None:
    anatomy, rng = wardrobe.anatomy, wardrobe.rng
    scalp = anatomy.fields["scalp"]
    style = rng.choice(
        ["short", "cropped", "long", "tail", "bald", "cap", "hat", "scarf"],
        p=[0.34, 0.14, 0.2, 0.07, 0.07, 0.08, 0.04, 0.06],
    )
    if style == "bald":
        if rng.random() < 0.5:
            ears = (anatomy.points["left_ear"] + anatomy.points["right_ear"]) / 2
            ring = np.minimum(scalp, 0.035 - np.abs(anatomy.rest[:, 1] - ears[1] - 0.0))
            wardrobe.put(np.minimum(ring, anatomy.rest[:, 2] - ears[2] + 0.02), hair, thickness=0.006, ragged=0.006)
        return
    if style == "cropped":
        mix = tuple(0.25 * 0.1 + 0.9 * b for b in hair.colour)
        wardrobe.put(scalp, replace(hair, colour=mix), thickness=0.004, ragged=0.005)  # type: ignore[arg-type]
    elif style in ("short", "long", "tail"):
        thick = float(rng.uniform(0.012, 0.045))
        wardrobe.put(
            scalp - float(rng.uniform(-0.008, 0.012)),
            hair,
            thickness=thick,
            folds=0.5 * thick,
            fade=0.05,
            ragged=0.011,
            relax=0.9,
        )
        if style == "long":
            wardrobe.drapes.append(
                make_long_hair(
                    anatomy, wardrobe.hang(hair), float(rng.choice([0.1, 0.17, 0.26, 0.4])), thick + 0.003, rng
                )
            )
        elif style == "tail":
            long = float(rng.choice([0.07, 0.2, 0.32, 0.45]))
            width = 0.042 if long < 0.1 else float(rng.uniform(0.018, 0.032))
            wardrobe.drapes.append(make_tail(anatomy, wardrobe.hang(hair), long, width, rng))
    elif style in ("cap", "hat"):
        wardrobe.put(scalp, hair, thickness=0.01, ragged=0.005)
        cloth = draw_cloth(rng, plain=0.8)
        gap = float(np.linalg.norm(anatomy.points["left_eye"] - anatomy.points["right_eye"]))
        level = _heights(anatomy)["eye"] + 0.6 * gap
        layer = wardrobe.put(
            np.where(anatomy.fields["arm"] > FAR, FAR, anatomy.fields["up"] - level),
            cloth,
            thickness=0.018 if style == "cap" else 0.05,
            relax=1.0,
            fade=0.015,
        )
        if style == "hat" or rng.random() < 0.8:
            wardrobe.drapes.append(
                make_brim(anatomy, layer, style == "hat", float(rng.uniform(0.05, 0.11) if style == "hat" else 0.075))
            )
    else:  # a scarf or hood over hair, ears and neck
        cloth = draw_cloth(rng, plain=0.75)
        face = np.linalg.norm(
            (anatomy.rest - (anatomy.points["nose"] + np.array([0, 0.0, 0.02]))) * np.array([1.25, 0.85, 0.6]), axis=1
        )
        field = np.minimum(face - 0.095, anatomy.fields["up"] - _heights(anatomy)["shoulder"] - 0.03)
        wardrobe.put(
            np.where(anatomy.fields["arm"] > FAR, FAR, field), cloth, thickness=0.02, folds=0.008, relax=0.9, fade=0.015
        )


def _dress_hand(rng: np.random.Generator, anatomy: Anatomy) -> Look:
    wardrobe = _Wardrobe(anatomy, rng)
    fields = anatomy.fields
    skin = draw_skin(rng)
    lightness = float(np.mean(skin.colour))
    palm = (np.clip(0.5 + 0.9 * fields["palm"], 0, 1) * np.clip(fields["past"] / 0.03, 0, 1))[:, None]
    paler = np.array([0.42, 0.26, 0.22])  # palms hold little pigment whatever the tone of the back
    share = float(rng.uniform(0.15, 0.75)) * min(1.0, 0.25 / (lightness + 0.05)) * 0.6
    base = np.array(skin.colour)
    tint = (base + palm * share * np.maximum(paler - base, 0)) / base
    tint = tint * (1 + palm * np.array([0.04, -0.06, -0.05]) * rng.uniform(0, 1.5))
    blush, shade = float(rng.uniform(0.0, 0.35)), float(rng.uniform(0.1, 0.5))
    tint = tint * (1 + fields["blush"][:, None] * np.array([0.05, -0.55, -0.5]) * blush)
    tint = tint * (1 - fields["shade"][:, None] * shade * np.array([0.7, 1.0, 1.0]))
    painted = rng.random() < 0.15
    pale = tuple(min(0.85, 1.1 * v + 0.05) for v in skin.colour)
    colour = draw_colour(rng) if painted else (pale[0], pale[1] * 0.92, pale[2] * 0.92)
    glove = rng.random() < 0.06
    if not glove:
        wardrobe.put(
            fields["nail"], Material(colour=colour, gloss=0.3, polish=40.0, mottle=0.05, through=0.5), thickness=0.0004
        )
    points = list(anatomy.points.values())
    if not glove and rng.random() < 0.22:
        metal = Material(
            colour=linear(*[(212, 175, 85), (200, 200, 205), (120, 118, 115)][rng.integers(3)]),
            gloss=0.9,
            polish=50.0,
            grain=0.1,
        )
        for finger in rng.choice([1, 2, 3, 4], size=int(rng.integers(1, 3)), replace=False):
            base_at, pip = points[1 + 4 * finger], points[2 + 4 * finger]
            axis = (pip - base_at) / np.linalg.norm(pip - base_at)
            along = (anatomy.rest - base_at) @ axis
            off = np.linalg.norm(anatomy.rest - base_at - along[:, None] * axis, axis=1)
            band = 0.0028 - np.abs(along - 0.55 * np.linalg.norm(pip - base_at))
            wardrobe.put(np.where(off < 0.016, band, FAR), metal, thickness=0.0015, fade=0.002)
    bend = (float(rng.normal(0, 0.3)), float(rng.normal(0, 0.3)))
    start = 0.0
    if glove:
        cloth = draw_cloth(rng, plain=0.9)
        wardrobe.put(np.full(len(anatomy.rest), 0.1), cloth, thickness=0.0015)
        sleeve_skin = wardrobe.hang(cloth)
    else:
        sleeve_skin = -1
    long = float(rng.uniform(0.16, 0.32))
    wardrobe.drapes.append(
        make_forearm(anatomy, sleeve_skin, 0.0, long, (1.0, float(rng.uniform(1.3, 1.7))), bend, False)
    )
    if rng.random() < 0.55:
        start = float(rng.choice([0.003, 0.02, 0.06, 0.1]))
        wide = float(rng.uniform(1.15, 1.7))
        wardrobe.drapes.append(
            make_forearm(
                anatomy,
                wardrobe.hang(draw_cloth(rng)),
                start,
                long + 0.02,
                (wide, wide * float(rng.uniform(1.1, 1.6))),
                bend,
                True,
            )
        )
    elif rng.random() < 0.25:
        at = float(rng.uniform(0.008, 0.03))
        strap = replace(draw_cloth(rng, plain=1.0), gloss=0.3, polish=30.0)
        wardrobe.drapes.append(
            make_forearm(
                anatomy, wardrobe.hang(strap), at, at + float(rng.uniform(0.006, 0.022)), (1.12, 1.14), bend, True
            )
        )
    return wardrobe.look(skin, tint)
