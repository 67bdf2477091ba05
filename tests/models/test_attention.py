from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from humanpt.models import attention as kernels
from humanpt.models.attention import attention, fastest_attention
from humanpt.models.croco import tiny


def slow_attention(queries, keys, values):
    out = torch.zeros_like(queries)
    for place in torch.cartesian_prod(*(torch.arange(size) for size in queries.shape[:3])).tolist():
        picture, head, token = place
        scores = torch.stack([queries[picture, head, token] @ key for key in keys[picture, head]])
        weights = (scores / queries.shape[-1] ** 0.5).exp()
        out[picture, head, token] = (weights / weights.sum()) @ values[picture, head]
    return out


@pytest.mark.parametrize("kernel", [None, "fused", "plain"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
def test_attention_is_the_softmax_average_of_the_values(dtype, tolerance, kernel):
    parts = torch.randn(3, 2, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    out = attention(*parts.to(dtype), kernel)
    assert out.dtype == dtype
    assert_close(out.float(), slow_attention(*parts), atol=tolerance, rtol=0)


@pytest.mark.parametrize("slow", ["fused", "plain"])
def test_the_kernel_that_takes_less_time_is_named(slow, monkeypatch):
    shapes = []

    def seconds(stacked, kernel):
        shapes.append(stacked.shape[1:])
        return 2.0 if kernel == slow else 1.0

    monkeypatch.setattr(kernels, "_seconds", seconds)
    config = replace(tiny(), dec_heads=4)
    assert fastest_attention(config, torch.device("cpu"), torch.float32) == ({"fused", "plain"} - {slow}).pop()
    assert set(shapes) == {(16, 3, 4, 16), (16, 3, 4, 8)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_measuring_both_kernels_draws_nothing(dtype):
    before = torch.get_rng_state()
    assert fastest_attention(tiny(), torch.device("cpu"), dtype) in ("fused", "plain")
    assert torch.equal(torch.get_rng_state(), before)
