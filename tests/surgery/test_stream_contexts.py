"""A stream is of one thread or coroutine, and of no copy; a call that fails leaves it where it was."""

import asyncio
import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from dsptorch import FIR, Chain, LFORouting, Multirate, insert, streaming
from dsptorch.surgery.streams.forward_pass import ForwardPass
from dsptorch.surgery.streams.stream import Stream
from dsptorch.testing._engine.chunks import random_chunks
from tests.layers.table import WIDTH, signal
from tests.surgery.models import small, through_pickle
from tests.tolerances import assert_close, assert_same


def model():
    torch.manual_seed(0)
    inner = nn.Sequential(Chain(Multirate(WIDTH), LFORouting(WIDTH)), nn.Linear(WIDTH, WIDTH))
    made = nn.Sequential(inner, nn.GELU(), FIR(WIDTH, 5, init="lowpass"), nn.Linear(WIDTH, WIDTH))
    insert(made, "3", lambda _: Multirate(WIDTH, 3))
    return made.double()


def run(m, x, seed=0):
    lengths = random_chunks(x.shape[1], torch.Generator().manual_seed(seed))
    return torch.cat([m(chunk) for chunk in x.split(lengths, 1)], 1)


def in_threads(*runs):
    """What each of these returns, in a thread of its own, all at once."""
    with ThreadPoolExecutor(len(runs)) as pool:
        return [begun.result() for begun in [pool.submit(run) for run in runs]]


def meeting(count):
    return threading.Barrier(count, timeout=20)


def check_a_thread_beside(m):
    """It calls the model, and later streams it, while this one does."""
    x, other = signal(time=30), signal(time=12, seed=5)
    whole = m(x), m(other)

    def opens_its_own():
        with streaming(m):
            return run(m, other, 3)

    with streaming(m):
        first = m(x[:, :9])
        (plain,) = in_threads(lambda: m(other))
        second = m(x[:, 9:20])
        (streamed,) = in_threads(opens_its_own)
        third = m(x[:, 20:])
    assert_close(torch.cat([first, second, third], 1), whole[0])
    assert_same(plain, whole[1])
    assert_close(streamed, whole[1])


def test_a_thread_that_opened_nothing_calls_the_plain_model():
    check_a_thread_beside(model())


def test_a_stream_that_every_thread_continues_is_caught(monkeypatch):
    monkeypatch.setattr(Stream, "is_here", lambda _: True)
    with pytest.raises((AssertionError, ValueError)):
        check_a_thread_beside(model())


@pytest.mark.parametrize("seed", range(3))
def test_threads_stream_one_model_at_once(seed):
    m, signals = model(), [signal(time=40, seed=seed + index) for index in range(4)]
    together = meeting(len(signals))

    def stream(x):
        together.wait()
        with streaming(m):
            return run(m, x, seed)

    def call(x):
        together.wait()
        return torch.stack([m(x) for _ in range(5)])

    work = [lambda x=x: stream(x) for x in signals[:-1]] + [lambda: call(signals[-1])]
    *streamed, plain = in_threads(*work)
    for x, y in zip(signals, streamed, strict=False):
        assert_close(y, m(x))
    assert_same(plain, m(signals[-1]).expand_as(plain))
    assert not any("forward" in vars(part) for name, part in m.named_modules() if name != "3")


def test_coroutines_have_streams_of_their_own():
    m, signals = model(), [signal(time=30, seed=seed) for seed in range(3)]

    async def stream(x, seed):
        await asyncio.sleep(0.002 * seed)
        ys = []
        with streaming(m):
            for chunk in x.split(random_chunks(x.shape[1], torch.Generator().manual_seed(seed)), 1):
                ys.append(m(chunk))
                await asyncio.sleep(0.001)
        return torch.cat(ys, 1)

    async def call(x):
        return [[m(x), await asyncio.sleep(0.001)][0] for _ in range(6)]

    async def main():
        return await asyncio.gather(*(stream(x, seed) for seed, x in enumerate(signals)), call(signals[0]))

    *streamed, plain = asyncio.run(main())
    for x, y in zip(signals, streamed, strict=True):
        assert_close(y, m(x))
    for y in plain:
        assert_same(y, m(signals[0]))


class Waits(nn.Module):
    """Calls a function in the middle of a forward pass."""

    def forward(self, x):
        self.then()
        return x


def slow():
    m = nn.Sequential(FIR(WIDTH, 3, init="lowpass"), Waits(), FIR(WIDTH, 3, init="lowpass")).double()
    m[1].then = lambda: None
    return m


def test_two_threads_on_one_stream_are_refused():
    """`asyncio.to_thread` copies the context, so both threads continue one signal."""
    m, x = slow(), signal(time=20)
    whole, together = m(x), meeting(2)

    def enter():
        together.wait()
        together.wait()

    async def main():
        with streaming(m):
            first = m(x[:, :10])
            m[1].then = enter
            begun = asyncio.ensure_future(asyncio.to_thread(m, x[:, 10:]))
            await asyncio.to_thread(together.wait)
            try:
                with pytest.raises(ValueError, match=r"in another thread already.*each thread open"):
                    m(x[:, 10:])
            finally:
                await asyncio.to_thread(together.wait)
            return torch.cat([first, await begun], 1)

    assert_close(asyncio.run(main()), whole)


def test_a_stream_that_ends_under_a_thread_is_reported_there():
    m, x, together = slow(), signal(), meeting(2)

    def enter():
        together.wait()
        together.wait()

    async def main():
        with streaming(m):
            m[1].then = enter
            begun = asyncio.ensure_future(asyncio.to_thread(m, x))
            await asyncio.to_thread(together.wait)
        await asyncio.to_thread(together.wait)
        with pytest.raises(ValueError, match="ended in the middle of this forward pass"):
            await begun

    asyncio.run(main())


def check_copies(m, copied):
    x = signal(time=20)
    whole = m(x)
    with streaming(m):
        first = m(x[:, :8])
        other = copied(m)
        before = [other(x) for _ in range(2)]
        second = m(x[:, 8:])
    after = [other(x) for _ in range(2)]
    assert_close(torch.cat([first, second], 1), whole)
    for y in before + after:
        assert_same(y, whole)
    assert [name for name, part in other.named_modules() if "forward" in vars(part)] == ["3"]  # the insertion
    again = copied(other)
    with streaming(again):
        assert_close(run(again, x), whole)


@pytest.mark.parametrize("copied", [copy.deepcopy, through_pickle])
def test_a_copy_does_not_stream(copied):
    check_copies(model(), copied)


def test_a_copy_that_streams_is_caught(monkeypatch):
    monkeypatch.delattr("dsptorch.surgery.streams.streamed._Streamed.__reduce__")
    with pytest.raises(AssertionError):
        check_copies(model(), lambda m: copy.deepcopy(m, {id(s): s for s in streams_of(m)}))


def streams_of(m):
    return [part.forward.stream for part in m.modules() if hasattr(vars(part).get("forward"), "stream")]


def check_a_call_that_fails(m):
    x = signal(time=20)
    whole = m(x)
    with streaming(m):
        first = m(x[:, :8])
        fails = m[3].register_forward_pre_hook(lambda *_: 1 / 0)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                m(x[:, 8:])
        fails.remove()
        second = m(x[:, 8:])
    assert_close(torch.cat([first, second], 1), whole)


def test_a_call_that_fails_changes_no_state():
    check_a_call_that_fails(model())


def test_states_that_are_kept_at_once_are_caught(monkeypatch):
    plain = ForwardPass.run

    def at_once(self, name, *args):
        y = plain(self, name, *args)
        self.memory.states = {**self.memory.states, name: self.reached[name]}
        return y

    monkeypatch.setattr(ForwardPass, "run", at_once)
    with pytest.raises(AssertionError):
        check_a_call_that_fails(model())


def checkpointed(around, reentrant):
    """A model that runs a layer, or itself, in an activation checkpoint while it has one."""
    layer, linear = FIR(WIDTH, 5, init="lowpass").double(), nn.Linear(WIDTH, WIDTH).double()
    inner = small(
        lambda self, x: self.run(x, lambda x: self.linear(self.layer(x))), layer=layer, linear=linear
    )
    inner.run = lambda x, f: checkpoint(f, x, use_reentrant=reentrant) if around == "layer" else f(x)
    call = inner if around == "layer" else lambda x: checkpoint(inner, x, use_reentrant=reentrant)
    return inner, call


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("around", ["layer", "model"])
def test_an_activation_checkpoint_is_refused_and_changes_nothing(around, reentrant):
    m, call = checkpointed(around, reentrant)
    x = signal(time=12).requires_grad_()
    with streaming(m) as stream:
        with pytest.raises(ValueError, match=r"runs in an activation checkpoint.*turn checkpoints off"):
            call(x[:, :5])
        assert stream.states == {}
        with torch.no_grad():  # which runs nothing again
            y = torch.cat([m(chunk) for chunk in x.split(5, 1)], 1)
    assert_close(y, m(x))
    call(x).sum().backward()


def test_a_checkpoint_that_is_not_recognized_is_refused_in_the_backward_pass(monkeypatch):
    monkeypatch.setattr("dsptorch.surgery.streams.forward_pass._refuse_checkpoint", lambda _: None)
    m, call = checkpointed("layer", reentrant=True)
    with streaming(m):
        y = call(signal(time=12).requires_grad_())
        with pytest.raises(ValueError, match="runs in an activation checkpoint"):
            y.sum().backward()
