"""Check that a model compiles into one graph with the same output."""

import warnings

import torch
from torch import Tensor

from dsptorch.functional.validate import check_bools
from dsptorch.testing._engine.eager import WARNINGS_OF_TORCH, compare_to_eager
from dsptorch.testing._engine.examples import (
    brief,
    check_example,
    examined,
    named_leaves,
    noise,
    projected_gradients,
)
from dsptorch.testing._engine.rates import grid_of, rate_of
from dsptorch.testing._engine.run import Model, output_of


def assert_compiles(
    model: Model, example: Tensor, *, backend: str = "inductor", gradients: bool = True, dynamic: bool = False
) -> None:
    """Assert that a model compiles into one graph, without breaks, and gives the same numbers as in eager mode.

    The outputs and the gradients of the input and the parameters must be equal within rounding.
    `torch._dynamo.reset()` is called first, so earlier compiled code is compiled again at its next use.

    Args:
        model: A module, or any function.
        example: A signal, (batch, time, channels).
        backend: A backend of `torch.compile`. "inductor" takes seconds to minutes; "aot_eager" tests everything except
            the generated code, in a tenth of the time.
        gradients: Whether gradients are compared.
        dynamic: Whether to try signals of other lengths too, which together may cost one more compilation. If
            `model.grid` is M > 1, they have at least M + 1 samples, because a single block may have its own graph.

    Raises:
        AssertionError: If it does not compile, with the reason, or if a value differs.

    Example:
        >>> from dsptorch import FIR
        >>> assert_compiles(FIR(4), torch.randn(2, 7, 4), backend="aot_eager")
    """
    check_bools(gradients=gradients, dynamic=dynamic)
    from torch._dynamo.testing import CompileCounterWithBackend  # noqa: PLC0415, Dynamo takes a second to import

    x = check_example(example, least=2 if dynamic else 1)
    time = x.shape[1]
    with examined(model, x, gradients=gradients), warnings.catch_warnings():
        for text in WARNINGS_OF_TORCH:
            warnings.filterwarnings("ignore", text)
        torch._dynamo.reset()
        graphs = CompileCounterWithBackend(backend)
        compiled = torch.compile(model, fullgraph=True, backend=graphs)
        least = max(2, grid_of(model) + 1)
        lengths = (time + 1, 2 * time + 2, 3 * time + 1, least) if dynamic else ()
        for signal in (x, *(noise(x, n, x.shape[0], n, x.shape[2]) for n in lengths)):
            eager = _values(model, signal, gradients)
            try:
                ours = _values(compiled, signal, gradients, of=model)
            except Exception as error:
                raise AssertionError(
                    f"does not compile into one graph by {backend}: {type(error).__name__}: {brief(error)}"
                ) from error
            compare_to_eager(ours, eager, f"compiled by {backend}, on {signal.shape[1]} samples")
            if graphs.frame_count > 2:
                raise AssertionError(
                    f"compiles anew, for the third time, for signals of {signal.shape[1]} samples; "
                    "TORCH_LOGS=recompiles says why"
                )


def _values(run: Model, x: Tensor, gradients: bool, of: Model | None = None) -> dict[str, Tensor]:
    """The output, and the gradients in all that learns."""
    leaf = x.clone().requires_grad_(gradients)
    y = output_of(run, leaf, rate_of(run if of is None else of))
    found = {"output": y.detach()}
    if gradients and y.requires_grad:
        names, leaves = named_leaves(of if of is not None else run, leaf)
        gradients_in = projected_gradients(y, names, leaves, seed=2)
        found |= {f"gradient in {name}": value for name, value in gradients_in.items()}
    return found
