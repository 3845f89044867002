"""What is compiled is what is inserted: torch.compile must never run the code of another model."""

import copy

import pytest
import torch
from torch import nn

from dsptorch import FIR, Multirate, insert, remove


class Two(nn.Module):
    """Two linear layers that are not looped over, so that nothing but the insertion tells two models apart."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.b(self.a(x))


def compiled(model):
    return torch.compile(model, fullgraph=True, backend="aot_eager")


def check(plain, treat, undo):
    """One class, compiled plain, then treated, then treated further, then plain again, in one process."""
    torch.compiler.reset()
    x = torch.randn(2, 6, 4)
    compiled_plain = compiled(plain)
    torch.testing.assert_close(compiled_plain(x), plain(x))
    treated = copy.deepcopy(plain)
    treat(treated, "a", FIR(4, 3, init="lowpass"))
    compiled_treated = compiled(treated)
    torch.testing.assert_close(compiled_treated(x), treated(x))
    treat(treated, "b", Multirate(4))  # after the first compiled call
    torch.testing.assert_close(compiled_treated(x), treated(x))
    torch.testing.assert_close(compiled_plain(x), plain(x))
    undo(treated)
    torch.testing.assert_close(compiled_treated(x), plain(x))


def test_compiled_code_follows_insertion_and_removal():
    check(Two(), lambda model, where, layer: insert(model, where, lambda _: layer, position="after"), remove)


def test_hooks_would_not():
    """The planted bug: what `insert` was at first."""

    def treat(model, where, layer):
        model.get_submodule(where).register_forward_hook(lambda module, args, output: layer(output))

    def undo(model):
        model.a._forward_hooks.clear()
        model.b._forward_hooks.clear()

    with pytest.raises(AssertionError):
        check(Two(), treat, undo)
