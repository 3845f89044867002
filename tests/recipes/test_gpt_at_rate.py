"""Blocks at a lower rate: what they compute, their windows, their stream, what they combine with, what is refused."""

import copy
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from gpt.arms import Arm, build
from gpt.at_rate import FrameCache, SlowBlocks, Trunk
from gpt.config import CONFIGS, load_config
from gpt.errors import LeakError, UsageError
from gpt.generate import streaming_error
from gpt.leak_gate import leak_gate
from gpt.model import GPT, GPTConfig
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.fabric import Fabric
from torch import Tensor, nn

from dsptorch import FIR, LFORouting, Multirate, Residual, streaming
from dsptorch.testing import assert_compiles

SHAPE = GPTConfig(n_layer=4, n_head=2, d_model=16, context=16)
SEED = {"multirate": {}, "lfo_routing": {}, "bottleneck": {}}
ARMS = {
    "alone": Arm(at_rate={"blocks": [1, 2], "factor": 4}),
    "defaults": Arm(at_rate={}),
    "first and last": Arm(at_rate={"blocks": [0, 1, 2, 3], "factor": 2}),
    "with fir": Arm(at_rate={}, fir={"kernel_size": 6, "init": "delays"}),
    "with the study's blocks": Arm(at_rate={"factor": 8}, **SEED),
    "smooth": Arm(at_rate={"down": {"init": "mean", "kernel_size": 4}, "up": {"init": "linear", "delay": 0}}),
}


def model(arm: Arm, shape: GPTConfig = SHAPE) -> GPT:
    torch.manual_seed(0)
    gpt = build(shape, arm).double().eval()
    for weight in gpt.parameters():  # at GPT-2's small initial weights every model is nearly the same
        weight.data += 0.3 * torch.randn_like(weight)
    return gpt


def ids(length: int, batch: int = 2) -> Tensor:
    return torch.randint(0, 256, (batch, length), generator=torch.Generator().manual_seed(1))


def slow(gpt: GPT) -> SlowBlocks:
    return next(module for module in gpt.modules() if isinstance(module, SlowBlocks))


def trunk(gpt: GPT) -> Trunk:
    return next(module for module in gpt.modules() if isinstance(module, Trunk))


@pytest.mark.parametrize("name", ARMS)
def test_token_by_token_equals_the_whole(name: str) -> None:
    for length in (1, 3, 7, 16):
        assert streaming_error(model(ARMS[name]), ids(length)) < 1e-9


@pytest.mark.parametrize("name", ["alone", "with fir"])
@settings(max_examples=10, deadline=None)
@given(cuts=st.sets(st.integers(1, 15)))
@torch.no_grad()
def test_ragged_chunks_equal_the_whole(name: str, cuts: set[int]) -> None:
    gpt, tokens = model(ARMS[name]), ids(16)
    sizes = [b - a for a, b in pairwise([0, *sorted(cuts), 16])]
    with streaming(gpt):
        cache = gpt.empty_cache()
        chunks = [gpt(chunk, cache) for chunk in torch.split(tokens, sizes, dim=1)]
    assert (torch.cat(chunks, 1) - gpt(tokens)).abs().max() < 1e-9


@torch.no_grad()
def test_the_stream_passes_by_and_gets_what_the_blocks_add() -> None:
    """At factor 1, with filters that are the identity, the model is the plain one."""
    same = {"kernel_size": 1, "init": torch.ones(1)}
    gpt = model(Arm(at_rate={"blocks": [1, 2], "factor": 1, "down": same, "up": same}))
    plain = GPT(SHAPE).double()
    blocks = [gpt.blocks[0], *trunk(gpt).blocks, gpt.blocks[2]]
    for place, weight in enumerate(blocks):
        plain.blocks[place] = weight
    plain.embed, plain.norm, plain.head = gpt.embed, gpt.norm, gpt.head
    torch.nn.init.ones_(slow(gpt).layer.layers[1].layers[0].weight)
    torch.nn.init.ones_(slow(gpt).layer.layers[1].layers[2].weight)
    assert (gpt(ids(16)) - plain(ids(16))).abs().max() < 1e-9


@torch.no_grad()
def test_the_blocks_see_a_frame_for_every_four_tokens() -> None:
    gpt, seen = model(ARMS["alone"]), []
    trunk(gpt).blocks[0].register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    x = torch.randn(2, 13, 16, dtype=torch.float64)
    y = slow(gpt)(x)
    assert seen == [(2, 4, 16)]
    down, _, up = slow(gpt).layer.layers[1].layers
    h = down(x)
    for block in trunk(gpt).blocks:
        h = block(h, torch.stack(_rope(4, 8)))
    expected = x + up(h - down(x))[:, :13]
    assert (y - expected).abs().max() < 1e-9


def _rope(length: int, width: int) -> tuple[Tensor, Tensor]:
    """By its definition: angle t * 10000^(-2i / width) of frame t."""
    angles = [[t * 10_000.0 ** (-2 * i / width) for i in range(width // 2)] for t in range(length)]
    angle = torch.tensor(angles, dtype=torch.float64)
    return angle.cos(), angle.sin()


@pytest.mark.parametrize("sizes", [[1] * 20, [4, 4, 4, 4, 4], [3, 1, 4, 2, 4, 1, 4, 1]])
@torch.no_grad()
def test_the_window_of_frames_slides_past_the_context(sizes: list[int]) -> None:
    """One block at the low rate: frame n sees frames n - 3 to n, and nothing through others."""
    gpt = model(Arm(at_rate={"blocks": [1], "factor": 4}))
    part, frames = trunk(gpt), torch.randn(2, 20, 16, dtype=torch.float64)
    assert part.window == 16 // 4
    outputs, state = [], None
    for chunk in torch.split(frames, sizes, dim=1):
        before = copy.deepcopy(state)
        y, after = part.step(chunk, state)
        assert before is None or all(torch.equal(a, b) for a, b in zip(before, state or (), strict=True))
        outputs.append(y)
        state = after
    streamed = torch.cat(outputs, dim=1)
    assert (streamed - part(frames)).abs().max() < 1e-9
    for n in range(20):
        window = frames[:, max(0, n - 3) : n + 1]
        assert (streamed[:, n] - part(window)[:, -1]).abs().max() < 1e-9


@torch.no_grad()
def test_a_window_that_forgets_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    value = FrameCache.value

    def forgetful(self: FrameCache) -> Tensor:
        return value(self).roll(1, 3)

    monkeypatch.setattr(FrameCache, "value", forgetful)
    assert streaming_error(model(ARMS["alone"]), ids(16)) > 1e-3


@torch.no_grad()
def test_rows_of_a_state_are_rows_of_the_batch() -> None:
    gpt, tokens = model(ARMS["alone"]), ids(13, batch=3)
    x = torch.randn(3, 13, 16, dtype=torch.float64)
    layer = slow(gpt).layer
    with streaming(layer) as stream:
        layer(x[:, :8])
        stream.reset(torch.tensor([1]))  # at a block's beginning: row 1 begins anew
        y = layer(x[:, 8:])
        saved = stream.state_dict()
        later = layer(x[:, :3])
        stream.load_state_dict(saved)  # within a block
        stream.select(torch.tensor([2, 0]))
        swapped = layer(x[[2, 0], :3])
    assert (y[1] - layer(x[1:2, 8:])[0]).abs().max() < 1e-9
    assert (y[[0, 2]] - layer(x[[0, 2]])[:, 8:]).abs().max() < 1e-9
    assert (swapped - later[[2, 0]]).abs().max() < 1e-9
    assert streaming_error(gpt, tokens) < 1e-9


class Ahead(nn.Module):
    """A leak between frames."""

    d_model = 16

    def forward(self, frames: Tensor) -> Tensor:
        return F.pad(frames[:, 1:], (0, 0, 0, 1))


def test_the_leak_gate_sees_frames_that_look_ahead() -> None:
    gpt = build(SHAPE, ARMS["alone"])
    row, fabric = ids(16, batch=1), Fabric(accelerator="cpu", devices=1)
    leak_gate(fabric, gpt, row, vocab_size=256, step=0)
    frames = slow(gpt).layer.layers[1].layers[1]
    frames.module, frames.streams = Ahead(), False
    with pytest.raises(LeakError, match="looks ahead"):
        leak_gate(fabric, gpt, row, vocab_size=256, step=0)


def test_nothing_is_inserted_at_the_low_rate() -> None:
    gpt = build(SHAPE, Arm(at_rate={}, fir={}, **SEED))
    names = {
        kind: [n for n, m in gpt.named_modules() if isinstance(m, kind)]
        for kind in (FIR, Multirate, LFORouting)
    }
    assert names[Multirate] == [f"blocks.{i}.dsp_before" for i in range(3)]
    assert names[LFORouting] == [f"blocks.{i}.attn.dsp_after" for i in (0, 2)]
    assert len(names[FIR]) == 4
    assert not any("trunk" in name or ".module." in name for found in names.values() for name in found)


def test_parameters_are_those_of_the_plain_model_and_two_filters() -> None:
    def count(arm: Arm) -> int:
        return sum(p.numel() for p in build(SHAPE, arm).parameters())

    assert count(ARMS["alone"]) - count(Arm()) == 16 * (16 + 4)
    assert isinstance(slow(build(SHAPE, ARMS["alone"])).layer, Residual)


def test_learned_positions_and_dropout() -> None:
    shape = replace(SHAPE, positions="learned", dropout=0.1)
    gpt = model(ARMS["alone"], shape)
    assert not trunk(gpt).rope
    assert streaming_error(gpt, ids(15)) < 1e-9
    gpt.train()(ids(16)).sum().backward()
    assert all(p.grad is not None for p in gpt.parameters())


@pytest.mark.slow
def test_compiles_the_whole_and_a_step() -> None:
    layer = slow(build(SHAPE, ARMS["alone"])).layer
    assert_compiles(layer, torch.randn(2, 13, 16))
    x, state, outputs = torch.randn(2, 9, 16), None, []
    step = torch.compile(layer.step, fullgraph=True, backend="eager")
    with torch.no_grad():
        for token in x.split(1, 1):
            y, state = step(token, state)
            outputs.append(y)
        assert (torch.cat(outputs, 1) - layer(x)).abs().max() < 1e-5


def test_the_configuration_is_the_default_of_four_blocks() -> None:
    config = load_config([CONFIGS / "rope.yaml", CONFIGS / "at_rate.yaml"])
    assert config.arm == Arm(at_rate={"blocks": [1, 2], "factor": 4})
    gpt = build(config.model, config.arm)
    assert (len(gpt.blocks), len(trunk(gpt).blocks), trunk(gpt).window) == (3, 2, 64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": [1, 3]}, r"blocks: expected numbers of blocks of 0 to 3 in a row, .* got \[1, 3\]"),
        ({"blocks": []}, "in a row"),
        ({"blocks": [3, 4]}, "in a row"),
        ({"blocks": [-1, 0]}, "in a row"),
        ({"factor": 3}, "divisor of model.context=16, got 3"),
        ({"factor": 2.0}, "divisor"),
        ({"up": {"init": "linear"}}, "declared delay, got 4 tokens"),
        ({"rate": 4}, r"arm\.at_rate: .*rate"),
        ({"down": {"init": "hold"}}, "'first', got 'hold'"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(SHAPE, Arm(at_rate=options))
