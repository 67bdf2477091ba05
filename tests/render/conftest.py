"""Bodies, hands and a plain lit ball for the tests of appearance."""

import pytest
import torch

from humanpt.body.model import load_body_model


@pytest.fixture(scope="session")
def body():
    """The small free body."""
    return load_body_model("anny-body-small")


@pytest.fixture(scope="session")
def hand():
    """The free right hand."""
    return load_body_model("anny-hand")


@pytest.fixture(scope="session")
def standing(body):
    """Vertices (V, 3) of the body in its reference pose, soles on the floor."""
    vertices = body.rest(body.mean_shape())[0].detach()
    return vertices - torch.tensor([0.0, 1.0, 0.0]) * vertices[:, 1].max()


@pytest.fixture(scope="session")
def reaching(hand):
    """Vertices (V, 3) of the open hand, half a metre above the floor."""
    vertices = hand.rest(hand.mean_shape())[0].detach()
    return vertices - vertices.mean(0) + torch.tensor([0.0, -0.5, 0.0])
