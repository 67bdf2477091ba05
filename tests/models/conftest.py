"""Tiny networks and pictures."""

from dataclasses import replace

import pytest
import torch

from humanpt.models.croco import CroCo, tiny


@pytest.fixture(params=["rope", "cosine"])
def tiny_croco(request):
    torch.manual_seed(0)
    return CroCo(replace(tiny(), positions=request.param)).eval()


@pytest.fixture
def image_pair():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, 3, 64, 64, generator=generator).unbind()


@pytest.fixture
def mask():
    """Fourteen of sixteen patches withheld, other ones in each of three pictures."""
    generator = torch.Generator().manual_seed(2)
    return torch.stack([torch.randperm(16, generator=generator) < 14 for _ in range(3)])
