"""FlexAttention over the pool gives what the CPU path gives (here uncompiled, on the CPU)."""

from __future__ import annotations

import pytest
import torch

from agentspark.kv.attention import attend
from agentspark.kv.batch import Segment
from agentspark.kv.flex import flex_attend

from .test_attention import (
    DIM,
    HEADS,
    Stream,
    make_batch,
    make_store,
    run_of_blocks,
    scattered_blocks,
)

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")


@pytest.mark.parametrize("window", [None, 50])
def test_equals_the_cpu_path_on_a_mixed_batch(window: int | None) -> None:
    store = make_store(torch.float32)
    near, far = Stream(store, run_of_blocks(), 1), Stream(store, scattered_blocks(), 2)
    segments = [
        Segment(0, 130, 200, near.blocks),
        Segment(130, 5, 611, far.blocks),
        Segment(135, 7, 90, near.blocks, causal=False),
    ]
    batch = make_batch(store, segments, 144, exact=False)
    q = torch.cat(
        [near.q[:, 200:330], far.q[:, 611:616], near.q[:, 90:97], torch.zeros(HEADS, 2, DIM)], 1
    )
    layer = store.target[0]
    ours = flex_attend(q, layer.k, layer.v, batch, scaling=None, window=window)
    expected = attend(q, layer, batch, window=window)
    torch.testing.assert_close(ours[:, :142], expected[:, :142], atol=1e-4, rtol=1e-4)
    assert not ours[:, 142:].any()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_compiled_on_cuda_equals_the_cpu(dtype: torch.dtype) -> None:
    store = make_store(dtype)
    stream = Stream(store, scattered_blocks())
    segments = [Segment(0, 8, 600, stream.blocks)]
    layer = store.target[0]
    q = stream.q[:, 600:608]
    expected = attend(q, layer, make_batch(store, segments, 8, exact=False))
    batch = make_batch(store, segments, 8, exact=False)
    batch.device = torch.device("cuda")
    ours = flex_attend(q.cuda(), layer.k.cuda(), layer.v.cuda(), batch, scaling=None, window=None)
    torch.testing.assert_close(ours.cpu(), expected, atol=2e-2, rtol=2e-2)
