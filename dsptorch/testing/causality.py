"""Does a model see the future?"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_ROWS = 64  # cut positions per forward pass


def assert_causal(
    model: Callable[[Tensor], Any],
    example: Tensor,
    *,
    vocab_size: int | None = None,
    rtol: float = 1e-6,
    seed: int = 0,
) -> None:
    """Assert that no output of a model depends on a later input.

    For every cut c in the sequence the input from c on is replaced (token ids by other ids; signals by noise
    of their own scale and of 1,000 times it), and the outputs before c must stay what they were. Clean and
    changed rows run in passes of the same shape and are compared row by row, so that rounding is the same.
    A layer that was inserted with identity=True is hidden behind its closed gain: open the gain to test it.
    A module is tested in eval mode and left in the mode it was in; no gradient is recorded, and the global
    random state is untouched.

    Args:
        model: A module, or any function; its output, or the first tensor of it, has the time in dimension 1.
        example: Token ids, (batch, time), or a signal, (batch, time, channels); each row is tested.
        vocab_size: For token ids: the replacements are drawn below it. None: below the greatest id's next.
        rtol: The change that counts as none, relative to the greatest output.
        seed: Of the replacements.

    Raises:
        AssertionError: If an output changes: it says which, by which inputs, and by how much.
        ValueError: If the example or the output has no time to test.

    Example:
        >>> from dsptorch import Multirate
        >>> assert_causal(Multirate(8), torch.randn(1, 20, 8))
        >>> assert_causal(Multirate(8, causal=False), torch.randn(1, 20, 8))
        Traceback (most recent call last):
        AssertionError: not causal: the output at time ... sees at least 4 samples ahead ...
    """
    _check_example(example)
    generator = torch.Generator().manual_seed(seed)
    time = example.shape[1]
    rows = min(_ROWS, time - 1)
    scales = (1.0, 1e3) if example.is_floating_point() else (1.0,)
    worst, reach = (0.0, 0, 0), 0
    devices = [example.device] if example.is_cuda else []
    with torch.no_grad(), _eval_mode(model), torch.random.fork_rng(devices):
        for row in torch.split(example, 1):
            clean = row.repeat(rows, *(1,) * (row.dim() - 1))
            before = _output(model, clean).double()
            if before.isnan().any():
                raise ValueError(
                    "the model's output is NaN already for the example itself; give one that it can take"
                )
            limit = rtol * before[before.isfinite()].abs().max().item() if before.isfinite().any() else 0.0
            for start in range(1, time, rows):
                first = min(start, time - rows)  # the last pass has as many rows as the others
                cuts = torch.arange(first, first + rows)
                for scale in scales:
                    after = _output(model, _replaced(clean, cuts, scale, vocab_size, generator)).double()
                    change = torch.where(after == before, 0.0, (after - before).abs())  # inf is equal to inf
                    change = change.flatten(2).nan_to_num(nan=torch.inf).amax(-1).cpu()
                    leaks = (change > limit) & (torch.arange(time) < cuts.unsqueeze(1))  # (cuts, time)
                    if leaks.any():
                        reach = max(reach, int((cuts.unsqueeze(1) - torch.arange(time))[leaks].max()))
                        index = int(change.where(leaks, 0).argmax())
                        worst = max(
                            worst, (change.flatten()[index].item(), first + index // time, index % time)
                        )
    if reach:
        size, cut, at = worst
        raise AssertionError(
            f"not causal: the output at time {at} changed by {size:.3g} when the input from time {cut} on was "
            f"replaced; some output sees at least {reach} samples ahead of {time}. A training loss of this model "
            "means nothing. Look for symmetric padding, statistics or pooling over time, interpolation, or a "
            "missing attention mask"
        )


def _check_example(example: object) -> None:
    if not isinstance(example, Tensor):
        raise TypeError(f"example must be a tensor, got {type(example).__name__}")
    if example.dim() < 2 or example.shape[0] < 1 or example.shape[1] < 2:
        raise ValueError(
            "example must be (batch, time) token ids or a (batch, time, channels) signal, of at least 1 row and "
            f"2 moments; got shape {tuple(example.shape)}"
        )


def _replaced(
    clean: Tensor, cuts: Tensor, scale: float, vocab_size: int | None, generator: torch.Generator
) -> Tensor:
    """Row i, replaced from cuts[i] on."""
    if clean.is_floating_point():
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        other = noise * scale * clean.double().square().mean().sqrt().clamp(min=1e-3).to(clean)
    else:
        size = vocab_size if vocab_size is not None else int(clean.max()) + 1
        shift = torch.randint(1, max(size, 2), clean.shape, generator=generator)
        other = (clean + shift.to(clean)) % max(size, 2)  # always another id
    future = torch.arange(clean.shape[1]) >= cuts.unsqueeze(1)
    return torch.where(future.to(clean.device)[(...,) + (None,) * (clean.dim() - 2)], other, clean)


def _output(model: Callable[[Tensor], Any], x: Tensor) -> Tensor:
    output: Any = model(x)
    if not isinstance(output, Tensor):
        values = output.values() if isinstance(output, dict) else output
        values = values if isinstance(values, Iterable) else ()
        output = next((value for value in values if isinstance(value, Tensor)), None)
    if output is None or output.dim() < 2 or output.shape[:2] != x.shape[:2]:
        shape = None if output is None else tuple(output.shape)
        raise ValueError(
            f"the model's output must start with (batch, time) = {tuple(x.shape[:2])}, got {shape}"
        )
    found: Tensor = output.unsqueeze(-1) if output.dim() == 2 else output
    return found


@contextmanager
def _eval_mode(model: Any) -> Iterator[None]:
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
