"""What a look is, and the wardrobe that collects one layer by layer.

A look belongs to one body model and holds what the renderer needs per vertex, so that the same look serves every
shape, pose and view: where each layer (shirt, trousers, hair, nail) lies, what it is made of, how far it stands off the
skin, and what hangs on the body besides. Nothing in it depends on the camera.

Letters: V vertices, L layers, C channels of noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from humanpt.render.anatomy import Anatomy, Floats
from humanpt.render.drapes import Drape
from humanpt.render.materials import Material
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


class Wardrobe:
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
        self.heights = _heights(anatomy) if anatomy.subject == "body" else {}

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


def _heights(anatomy: Anatomy) -> dict[str, float]:
    """Heights above the floor of the reference pose that garments are measured by."""
    points, floor = anatomy.points, anatomy.rest[:, 1].max()

    def of(name: str) -> float:
        return float(floor - (points[f"left_{name}"][1] + points[f"right_{name}"][1]) / 2)

    return {name: of(name) for name in ("shoulder", "hip", "knee", "ankle", "eye")}
