"""How people, hands and things look, drawn anew for each: the one door to all wardrobes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from humanpt.body.model import BodyModel
from humanpt.render.anatomy import Anatomy, study
from humanpt.render.hand_looks import dress_hand
from humanpt.render.look import Look, LookSubject
from humanpt.render.materials import Material, draw_cloth
from humanpt.render.outfits import dress_body

__all__ = ["Look", "LookSubject", "anatomy_of", "draw_look", "draw_surface", "dress"]


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
    return dress_body(rng, anatomy) if anatomy.subject == "body" else dress_hand(rng, anatomy)


def draw_surface(rng: np.random.Generator) -> Material:
    """Draw what a prop is made of: cloth, wood, plastic, metal, cardboard."""
    cloth = draw_cloth(rng, plain=0.5)
    if rng.random() < 0.5:
        return replace(cloth, gloss=float(rng.uniform(0.05, 0.5)), polish=float(rng.uniform(10, 80)), bump=0.02)
    return cloth
