"""A module at a lower rate: its frames, causality, chunks, segments, refusals, copies, and within a model."""

import copy
import pickle
from math import ceil

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dsptorch import FIR, AtRate, Chain, Decimate, Multirate, Upsample, insert, segmented, streaming
from dsptorch.testing import assert_causal, assert_no_mutation
from tests.tolerances import assert_close

WIDTH, FACTOR = 4, 4


class Attention(nn.Module):
    """One head on 3 frames; the state is the keys and values of the last 3, and how many of them there are."""

    d_model = WIDTH

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)

    def forward(self, x):
        return self.step(x)[0]

    def step(self, x, state=None):
        batch, frames = x.shape[:2]
        past, count = state or (x.new_zeros(batch, 3, 2 * WIDTH), torch.zeros(batch, dtype=torch.int64))
        q, kv = self.qkv(x).split([WIDTH, 2 * WIDTH], -1)
        kv = torch.cat([past, kv], 1)
        seen = torch.ones(frames, 3 + frames, dtype=torch.bool).tril(3).triu(1)
        seen = seen & (torch.arange(3 + frames) >= (3 - count)[:, None, None])
        y = F.scaled_dot_product_attention(q, *kv.chunk(2, -1), attn_mask=seen)
        return y, (kv[:, frames:], (count + frames).clamp(max=3))


class GRU(nn.Module):
    """PyTorch's, whose state has the layers first."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(WIDTH, WIDTH, batch_first=True)

    def forward(self, x):
        return self.gru(x)[0]

    def step(self, x, state=None):
        if x.shape[1] == 0:
            return x, (x.new_zeros(x.shape[0], WIDTH),)
        y, hidden = self.gru(x, None if state is None else state[0].unsqueeze(0))
        return y, (hidden.squeeze(0),)


class Sum(nn.Module):
    """A running sum without `step`."""

    def forward(self, x):
        return x.cumsum(1)


def at_rate(module, **options):
    torch.manual_seed(0)
    layer = AtRate(module, FACTOR, d_model=WIDTH, **options).double()
    for weight in layer.parameters():
        weight.data = 0.5 * torch.randn_like(weight)
    return layer


MODULES = {
    "layer": lambda: Chain(FIR(WIDTH, 3), Multirate(WIDTH)),
    "attention": Attention,
    "gru": GRU,
}


@pytest.fixture(params=MODULES)
def layer(request):
    return at_rate(MODULES[request.param]())


def signal(time=27, batch=2):
    return torch.randn(batch, time, WIDTH, dtype=torch.float64)


def in_chunks(layer, x, lengths, ids=None):
    """The output of the chunks, of ids too if there are, after a check of its length at every prefix."""
    outputs, state = [x[:, :0]], None
    ids = [None] * len(lengths) if ids is None else ids.split(lengths, 1)
    for chunk, part in zip(x.split(lengths, 1), ids, strict=True):
        y, state = layer.step(chunk, state, part)
        assert y.shape == chunk.shape
        outputs.append(y)
    return torch.cat(outputs, 1)


@pytest.mark.parametrize("time", [0, 1, 3, 4, 5, 27])
def test_the_module_sees_one_frame_for_every_factor_samples(time):
    module, seen = FIR(WIDTH), []
    process = module.process
    module.process = lambda x, *rest: (seen.append(x.shape[1]), process(x, *rest))[1]
    layer, x = at_rate(module), signal(time)
    layer(x)
    assert seen == [ceil(time / FACTOR)]
    seen.clear()
    in_chunks(layer, x, [1] * time)
    assert sum(seen) == ceil(time / FACTOR)


@torch.no_grad()
def test_is_decimate_module_upsample(layer):
    x = signal()
    down, inner, up = layer.layers
    frames = down(x)
    expected = up(inner(frames))[:, :27]
    assert frames.shape[1] == 7
    assert_close(layer(x), expected)
    by_hand = F.pad(x, (0, 0, len(down.weight) - 1, 0)).unfold(1, len(down.weight), FACTOR)
    assert_close(frames, torch.einsum("bndk,kd->bnd", by_hand, down.weight.flip(0)))


def test_a_module_is_not_called_without_a_frame():
    module, calls = GRU(), []
    module.gru.register_forward_hook(lambda *_: calls.append(1))
    in_chunks(at_rate(module), signal(9), [1] * 9)
    assert len(calls) == 3


def test_is_causal_at_every_cut(layer):
    assert_causal(layer, signal(24), thorough=True)


class Ahead(nn.Module):
    def forward(self, x):
        return F.pad(x[:, 1:], (0, 0, 0, 1))


class Interpolate(Upsample):
    """From each frame to the next one, which is the common leak."""

    def process(self, x, memory, timeline):
        y = F.interpolate(x.transpose(1, 2), scale_factor=FACTOR, mode="linear", align_corners=False)
        return y.transpose(1, 2), ()


@pytest.mark.parametrize(
    "build",
    [lambda: at_rate(Ahead()), lambda: at_rate(FIR(WIDTH), up=Interpolate(WIDTH, FACTOR))],
    ids=["between frames", "interpolation"],
)
def test_a_leak_is_caught(build):
    with pytest.raises(AssertionError, match="not causal"):
        assert_causal(build(), signal(24))


@torch.no_grad()
@pytest.mark.parametrize("lengths", [[1] * 27, [3, 1, 4, 0, 2, 9, 7, 1], [0, 27], [26, 1]])
def test_chunks_equal_the_whole(layer, lengths):
    x = signal()
    assert_close(in_chunks(layer, x, lengths), layer(x))


def test_a_step_changes_nothing(layer):
    assert_no_mutation(layer, signal(8))


def test_a_stream_of_a_module_that_forgets_is_noticed():
    module = GRU()
    step = module.step
    module.step = lambda x, _=None: step(x)
    layer, x = at_rate(module), signal()
    assert not torch.allclose(in_chunks(layer, x, [1] * 27), layer(x))


@pytest.mark.parametrize("around", [lambda f: f, lambda f: Chain(FIR(WIDTH).double(), f)])
def test_a_module_without_step_cannot_stream(around):
    layer, x = around(at_rate(Sum())), signal()
    assert layer(x).shape == x.shape
    for run in (layer.step, streamed(nn.Sequential(layer))):
        with pytest.raises(
            ValueError, match=r"holds a module without step\(x, state\) and cannot run in chunks"
        ):
            run(x)


def streamed(model):
    def run(x):
        with streaming(model):
            return model(x)

    return run


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: AtRate(Sum(), 4), "width of Sum, which has no attribute d_model; give d_model"),
        (lambda: AtRate(Sum, 4), "module must be an nn.Module"),
        (lambda: AtRate(FIR(4), 0), "factor must be at least 1"),
        (
            lambda: AtRate(FIR(4), 4, down=Decimate(4, 2)),
            "factor=4 needs a down of rate 1/4.*got rates 1/2, 1 and 4",
        ),
        (lambda: AtRate(Decimate(4, 2), 4, up=Upsample(4, 8)), "got rates 1/4, 1/2 and 8"),
        (lambda: AtRate(FIR(4), 4, down=Decimate(4, 2), up=Upsample(4, 2)), "got rates 1/2, 1 and 2"),
        (lambda: AtRate(FIR(4), 4, d_model=8), "widths meet"),
    ],
)
def test_what_does_not_fit_is_refused(build, message):
    with pytest.raises((ValueError, TypeError), match=message):
        build()


@pytest.mark.parametrize(
    "module", [nn.Linear(WIDTH, 3), nn.Flatten(), nn.GRU(WIDTH, WIDTH, batch_first=True)]
)
def test_a_module_that_changes_the_shape_is_named(module):
    with pytest.raises(ValueError, match=rf"keeps the shape, but {type(module).__name__} made"):
        at_rate(module)(signal())


def test_a_layer_keeps_packed_segments_apart():
    layer, first, second = at_rate(MODULES["layer"]()), signal(8, 1), signal(6, 1)
    ids = torch.tensor([[0] * 8 + [1] * 6])
    packed = layer(torch.cat([first, second], 1), ids)
    assert_close(packed, torch.cat([layer(first), layer(second)], 1))
    with pytest.raises(ValueError, match="multiple of 4 samples"):
        layer(packed, ids.roll(1, 1))


@pytest.mark.parametrize("lengths", [[16], [8, 8], [1] * 16])
@pytest.mark.parametrize("ids", [[0] * 8 + [1] * 8, [0] * 8 + [-1] * 4 + [0] * 4, [-1] * 4 + [0] * 12])
def test_a_module_refuses_several_segments_in_a_row(lengths, ids):
    with pytest.raises(ValueError, match="GRU, which cannot keep several segments of a row apart"):
        in_chunks(at_rate(GRU()), signal(16, 1), lengths, torch.tensor([ids]))


@pytest.mark.parametrize("lengths", [[16], [1] * 16])
def test_padding_on_the_right_passes(lengths):
    layer, x, ids = at_rate(GRU()), signal(16, 2), torch.tensor([[0] * 16, [0] * 6 + [-1] * 10])
    x[1, 6:] = torch.nan
    y = in_chunks(layer, x, lengths, ids)
    assert_close(y[1, :6], layer(x[1:, :6])[0])
    assert_close(y[0], layer(x[:1])[0])
    assert y[1, 6:].isnan().all()  # as it came


def test_layers_in_the_module_do_not_see_the_ids_outside():
    inner = nn.Sequential(FIR(WIDTH, 3))
    layer, x = at_rate(inner), signal(12)
    with segmented(
        torch.tensor([[0] * 12, [0] * 5 + [-1] * 7])
    ):  # of 12 samples, and the module has 3 frames
        y = layer(x)
        with pytest.raises(ValueError, match="segment_ids"):
            inner(x[:, :3])  # as it would be without
    assert_close(y[1, :5], layer(x[1:, :5])[0])


@pytest.mark.parametrize("name", MODULES)
def test_copies_are_equal_and_their_own(name):
    layer, x = at_rate(MODULES[name]()), signal()
    other = at_rate(MODULES[name]())
    for weight in other.parameters():
        weight.data.zero_()
    other.load_state_dict(layer.state_dict())
    for same in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), other):  # noqa: S301
        assert torch.equal(same(x), layer(x))
        assert not any(a is b for a, b in zip(same.parameters(), layer.parameters(), strict=True))


@torch.no_grad()
def test_goes_into_a_model_and_streams_there():
    plain, x = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)).double(), signal(17, 3)
    closed = plain(x)
    insert(plain, "1", lambda _: at_rate(Attention()), identity=True)
    assert torch.equal(plain(x), closed)
    plain[1].dsp_before.gain.fill_(0.7)
    whole = plain(x)
    assert not torch.allclose(whole, closed)
    with streaming(plain) as stream:
        assert_close(torch.cat([plain(chunk) for chunk in x.split([6, 1, 10], 1)], 1), whole)
        stream.reset()
        plain(x[:, :6])
        with pytest.raises(ValueError, match="2 samples behind one"):
            stream.reset(torch.tensor([0]))
        saved = copy.deepcopy(stream.state_dict())  # at 6, within a block
        stream.select(torch.tensor([2, 0]))
        assert_close(plain(x[[2, 0], 6:]), whole[[2, 0], 6:])
    with streaming(plain) as stream:
        stream.load_state_dict(saved)
        assert_close(plain(x[:, 6:8]), whole[:, 6:8])
        stream.reset(torch.tensor([0]))  # at 8
        y = plain(x[:, 8:])
        assert_close(y[1:], whole[1:, 8:])
    assert_close(y[:1], plain(x[:1, 8:]))
