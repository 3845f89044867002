"""What is compiled is what is inserted: torch.compile must never run the code of another model."""

import copy
import threading

import pytest
import torch
from torch import nn

from dsptorch import FIR, Multirate, insert, remove, streaming
from tests.surgery.models import small
from tests.tolerances import assert_close


def two():
    """Two linear layers that are not looped over: nothing but the insertion tells two models apart."""
    return small(lambda self, x: self.b(self.a(x)), a=nn.Linear(4, 4), b=nn.Linear(4, 4))


def compiled(model):
    return torch.compile(model, fullgraph=True, backend="aot_eager")


def check(treat, undo):
    """One class, compiled plain, then treated, then treated further, then plain again, in one process."""
    torch.compiler.reset()
    plain, x = two(), torch.randn(2, 6, 4)
    compiled_plain = compiled(plain)
    assert_close(compiled_plain(x), plain(x))
    treated, layer = copy.deepcopy(plain), FIR(4, 3, init="lowpass")
    treat(treated, "a", layer, "after")
    compiled_treated = compiled(treated)
    assert_close(compiled_treated(x), treated(x))
    treat(treated, "b", Multirate(4), "before")  # after the first compiled call
    assert_close(compiled_treated(x), treated(x))
    compiled_treated(x).sum().backward()
    assert layer.weight.grad.abs().sum() > 0
    assert_close(compiled_plain(x), plain(x))
    undo(treated)
    assert_close(compiled_treated(x), plain(x))


def test_compiled_code_follows_insertion_and_removal():
    def treat(model, where, layer, position):
        insert(model, where, lambda _: layer, position=position)

    check(treat, remove)


def test_hooks_would_not():
    """The planted bug: what `insert` was at first."""

    def treat(model, where, layer, position):
        model.get_submodule(where).register_forward_hook(lambda module, args, output: layer(output))

    def undo(model):
        model.a._forward_hooks.clear()
        model.b._forward_hooks.clear()

    with pytest.raises(AssertionError):
        check(treat, undo)


@pytest.mark.slow
@pytest.mark.parametrize("first", [False, True])
def test_compiled_code_streams_in_its_own_thread(first):
    """Compiled before the stream is open, or within it."""
    torch.compiler.reset()
    model, x = nn.Sequential(nn.Linear(4, 4), FIR(4, 3), nn.Linear(4, 4)), torch.randn(2, 20, 4)
    run, found = compiled(model), []
    whole = model(x)
    if first:
        run(x)
    with streaming(model):
        chunks = [run(chunk) for chunk in x.split([10, 1, 1, 8], 1)[:2]]
        thread = threading.Thread(target=lambda: found.append(run(x)))
        thread.start()
        thread.join()
        chunks += [run(chunk) for chunk in x.split([10, 1, 1, 8], 1)[2:]]
    assert_close(torch.cat(chunks, 1), whole)
    assert_close(found[0], whole)
    assert_close(run(x), whole)
