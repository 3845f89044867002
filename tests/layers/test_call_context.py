"""`segmented`: segment ids reach the layers of a model that hands them none."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from dsptorch import Chain, LFORouting, Multirate, segmented
from dsptorch.layers.call_context import Call, current_call, enter_call, remember_in_backward
from tests.layers.table import WIDTH, build, signal
from tests.tolerances import assert_close, assert_same

IDS = torch.tensor([[-1, -1, 0, 0, 0, 0, 0, 1, 1, 1, 1, -1], [3, 3, 3, 3, 3, 3, 3, 3, 3, -1, 3, 3]])


class Model(nn.Module):
    """A layer to which nobody hands ids."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(WIDTH, WIDTH), Chain(Multirate(WIDTH), LFORouting(WIDTH)))

    def forward(self, x):
        return self.body(x)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_context_reaches_the_layers_of_a_model(compiled):
    torch._dynamo.reset()
    model, x = Model(), signal(2, 12, torch.float32)
    run = torch.compile(model, fullgraph=True, backend="aot_eager") if compiled else model
    plain = run(x)
    with segmented(IDS):
        y = run(x)
        with segmented(None):
            assert_close(run(x), plain)
    assert_close(y[0, 2:7], model(x[:1, 2:7])[0])
    assert not torch.allclose(y, plain)
    assert_close(run(x), plain)  # it ends with its block


def test_ids_that_are_given_win_over_the_context():
    layer, x = build("Multirate"), signal(2, 12)
    with segmented(IDS):
        y = layer(x, torch.zeros_like(IDS))
    assert_close(y, layer(x))


def layer_and_signal():
    return build("Multirate"), signal(2, 12)


def test_the_context_is_of_this_thread():
    layer, x = layer_and_signal()
    with segmented(IDS):
        (found,) = in_threads(lambda: layer(x))
    assert_same(found, layer(x))


def test_generators_that_overlap_leave_nothing_behind():
    layer, x = layer_and_signal()
    plain = layer(x)

    def within(ids):
        with segmented(ids):
            yield layer(x)

    for order in ([0, 1], [1, 0]):
        both = [within(IDS), within(IDS.flip(0))]
        assert_close(next(both[0])[0], layer(x, IDS)[0])
        next(both[1])
        for index in order:
            both[index].close()
        assert_same(layer(x), plain)


def test_generators_that_take_turns_are_reported():
    layer, x = layer_and_signal()

    def batches(ids):
        for _ in range(2):
            with segmented(ids):
                yield x

    for batch in batches(IDS):  # the caller is within the block, as that of a fixture is
        assert_same(layer(batch), layer(x, IDS))
    with pytest.raises(ValueError, match=r"two contexts of dsptorch\.segmented overlap"):
        for _ in zip(batches(IDS), batches(IDS.flip(0)), strict=True):
            pass
    assert_same(layer(x), layer_and_signal()[0](x))


def test_a_coroutine_does_not_see_the_ids_of_another():
    layer, x = layer_and_signal()

    async def call(start, ids=None, wait=0.02):
        await asyncio.sleep(start)
        with nullcontext() if ids is None else segmented(ids):
            await asyncio.sleep(wait)
            return layer(x)

    async def main():
        other = IDS.flip(0)
        return await asyncio.gather(call(0.0, IDS), call(0.01, other), call(0.01, None, 0.0), call(0.03))

    first, second, third, last = asyncio.run(main())
    assert_same(first, layer(x, IDS))
    assert_same(second, layer(x, IDS.flip(0)))
    assert_same(third, layer(x))
    assert_same(last, layer(x))


def in_threads(*runs):
    """What each of these returns, in a thread of its own, all at once."""
    with ThreadPoolExecutor(len(runs)) as pool:
        return [begun.result() for begun in [pool.submit(run) for run in runs]]


def gradient(layer, x, *, reentrant=None, depth=1):
    """That of the squared output, with activation checkpoints around the layer."""
    x = x.clone().requires_grad_()

    def run(z, left=depth):
        if reentrant is None or not left:
            return layer(z)
        return checkpoint(lambda z: run(z, left - 1), z, use_reentrant=reentrant)

    run(x).square().sum().backward()
    return x.grad


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpoint_runs_again_with_the_ids_of_its_own_thread(reentrant):
    layer, x = layer_and_signal()
    given = [None, IDS, IDS.flip(0)]

    def train(ids):
        with nullcontext() if ids is None else segmented(ids):
            together.wait()
            found = [gradient(layer, x, reentrant=reentrant) for _ in range(5)]
            together.wait()
            return found

    together = threading.Barrier(len(given), timeout=20)
    found = in_threads(*(partial(train, ids) for ids in given))
    for ids, gradients in zip(given, found, strict=True):
        with nullcontext() if ids is None else segmented(ids):
            expected = gradient(layer, x)
        for got in gradients:
            assert_close(got, expected)


def test_another_thread_of_autograd_sees_the_ids_of_the_one_that_called_it():
    """Autograd takes a thread of its own for the 60th reentrant checkpoint within others, as it does for a GPU."""
    layer, x = layer_and_signal()
    threads = set()
    layer.register_forward_hook(lambda *_: threads.add(threading.get_ident()))
    with segmented(IDS):
        expected = gradient(layer, x)
        assert_close(gradient(layer, x, reentrant=True, depth=65), expected)
    assert len(threads) > 1
    assert_close(gradient(layer, x, reentrant=True, depth=65), gradient(layer, x))


def test_a_thread_of_autograd_that_is_told_nothing_is_caught(monkeypatch):
    monkeypatch.setattr("dsptorch.layers.call_context._tell_autograd", lambda *_: None)
    with pytest.raises(AssertionError):
        test_another_thread_of_autograd_sees_the_ids_of_the_one_that_called_it()


class Told(nn.Module):
    """A module that says what its layers see, and remembers it for the backward pass, as inserted layers do."""

    def __init__(self, layer, reentrant, depth=1):
        super().__init__()
        self.layer, self.reentrant, self.depth = layer, reentrant, depth

    def forward(self, x, ids):
        outer = enter_call(Call(ids, explicit=True))
        try:
            y = x
            for _ in range(self.depth):
                y = checkpoint(self.layer, y, use_reentrant=self.reentrant)
            remember_in_backward(y, current_call())
            return y
        finally:
            enter_call(outer)


@pytest.mark.parametrize("reentrant", [False, True])
def test_each_forward_pass_has_its_own_ids_in_the_backward_pass(reentrant):
    """Also within the context of another, and where the later pass is the one with padding."""
    layer, x = layer_and_signal()
    model, given = Told(layer, reentrant, depth=2), [IDS, None, IDS.flip(0)]
    signals = [x.clone().requires_grad_() for _ in given]
    total = sum(model(z, ids).square().sum() for z, ids in zip(signals, given, strict=True))
    with segmented(torch.zeros_like(IDS).index_fill_(1, torch.arange(5), -1)):
        total.backward()
    for z, ids in zip(signals, given, strict=True):
        expected = x.clone().requires_grad_()
        y = layer(layer(expected, ids), ids)
        y.square().sum().backward()
        assert_close(z.grad, expected.grad)
