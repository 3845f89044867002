"""Does a module compile and export as one graph, with the same output?"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from dsptorch.testing._engine.examples import (
    brief,
    check_example,
    examined,
    greatest,
    named_leaves,
    noise,
    projected_gradients,
)
from dsptorch.testing._engine.run import Model, output_of
from dsptorch.testing.tolerances import difference, site

# What Dynamo and torch's own decompositions warn of themselves, where warnings are errors.
_OF_TORCH = (
    ".*should not be instantiated",
    ".*torch.jit",
    "The .grad attribute of a Tensor that is not a leaf",
)


def assert_compiles(
    model: Model, example: Tensor, *, backend: str = "inductor", gradients: bool = True, dynamic: bool = False
) -> None:
    """Assert that a model compiles into one graph, without breaks, and gives the same numbers as before.

    Both the outputs and the gradients in the input and in the parameters must be equal to rounding.
    `torch._dynamo.reset()` is called first: what was compiled before will be compiled again when it is used.

    Args:
        model: A module, or any function.
        example: A signal, (batch, time, channels).
        backend: Of `torch.compile`. "inductor" takes seconds to minutes; "aot_eager" tests all but the code that is
            made, in a tenth of it.
        gradients: Whether gradients are compared.
        dynamic: Whether signals of other lengths are tried too. They may cost one more compilation, for all of them.

    Raises:
        AssertionError: If it does not: it says why, or what differs and by how much.

    Example:
        >>> from dsptorch import FIR
        >>> assert_compiles(FIR(4), torch.randn(2, 7, 4), backend="aot_eager")
    """
    from torch._dynamo.testing import CompileCounterWithBackend  # noqa: PLC0415, Dynamo takes a second to import

    x = check_example(example, least=2 if dynamic else 1)
    time = x.shape[1]
    with examined(model, x, gradients=gradients), warnings.catch_warnings():
        for text in _OF_TORCH:
            warnings.filterwarnings("ignore", text)
        torch._dynamo.reset()
        graphs = CompileCounterWithBackend(backend)
        compiled = torch.compile(model, fullgraph=True, backend=graphs)
        lengths = (time + 1, 2 * time + 2, 3 * time + 1, 2) if dynamic else ()
        for signal in (x, *(noise(x, n, x.shape[0], n, x.shape[2]) for n in lengths)):
            eager = _values(model, signal, gradients)
            try:
                ours = _values(compiled, signal, gradients, of=model)
            except Exception as error:
                raise AssertionError(
                    f"does not compile into one graph by {backend}: {type(error).__name__}: {brief(error)}"
                ) from error
            _compare(ours, eager, f"compiled by {backend}, on {signal.shape[1]} samples")
            if graphs.frame_count > 2:
                raise AssertionError(
                    f"compiles anew, for the third time, for signals of {signal.shape[1]} samples; "
                    "TORCH_LOGS=recompiles says why"
                )


def assert_exports(model: Model, example: Tensor, *, dynamic: bool = False) -> None:
    """Assert that a model exports by `torch.export`, and that the program gives the same numbers.

    It is exported with the example, and compared on it and on noise.

    Args:
        model: A module, or any function.
        example: A signal, (batch, time, channels); for `dynamic`, of at least 2 samples.
        dynamic: Whether batch and time are exported as dynamic, with no bounds, and other sizes are compared. A `step`
            is then exported too, from a state, unless the model looks ahead.

    Raises:
        AssertionError: If it does not: it says why, or what differs and by how much.

    Example:
        >>> from dsptorch import FIR
        >>> assert_exports(FIR(4), torch.randn(2, 7, 4))
    """
    x = check_example(example, least=2 if dynamic else 1)
    if dynamic and len(x) == 1:
        x = torch.cat([x, noise(x, 2)])  # an exporter takes a size of 1 for one that is always 1
    module = model if isinstance(model, nn.Module) else _Function(model)
    time, channels = x.shape[1:]
    sizes = [(1, 1), (2, time + 1), (len(x) + 1, 3 * time), (2, 0)] if dynamic else [(len(x), time)]
    signals = [x, *(noise(x, 1, batch, time, channels) for batch, time in sizes)]
    batch = torch.export.Dim("batch")
    sizes_of_x = {0: batch, 1: torch.export.Dim("time")}
    with examined(module, x), warnings.catch_warnings():
        for text in _OF_TORCH:
            warnings.filterwarnings("ignore", text)
        module(x)
        program = _exported(module, (x,), (sizes_of_x,) if dynamic else None)
        for signal in signals:
            eager = {"output": output_of(module, signal)}
            _compare({"output": output_of(program, signal)}, eager, f"exported, on {_size(signal)}")
        if not dynamic or not callable(getattr(module, "step", None)) or getattr(module, "lookahead", False):
            return
        stepping = _Step(module)
        state = stepping(x, None)[1]
        sizes_of_state = pytree.tree_map(lambda _: {0: batch}, state)
        program = _exported(stepping, (x, state), (sizes_of_x, sizes_of_state))
        for signal in signals:
            state = stepping(noise(x, 3, len(signal), time, channels), None)[1]
            ours, eager = _named(program(signal, state)), _named(stepping(signal, state))
            _compare(ours, eager, f"exported, in a step on {_size(signal)}")


def _exported(module: nn.Module, args: tuple[Any, ...], shapes: Any) -> Callable[..., Any]:
    try:
        return torch.export.export(module, args, dynamic_shapes=shapes).module()
    except Exception as error:
        step = "in a step, " if isinstance(module, _Step) else ""
        raise AssertionError(f"does not export: {step}{type(error).__name__}: {brief(error)}") from error


def _size(signal: Tensor) -> str:
    return f"{len(signal)} rows of {signal.shape[1]} samples"


def _named(output: Any) -> dict[str, Tensor]:
    """The output of a step, and what its state holds."""
    y, state = output
    return {"output": y} | {
        f"state{pytree.keystr(path)}": leaf for path, leaf in pytree.tree_leaves_with_path(state)
    }


class _Step(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, state: Any) -> Any:
        return self.layer.step(x, state)  # type: ignore[operator]


class _Function(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def _values(run: Model, x: Tensor, gradients: bool, of: Model | None = None) -> dict[str, Tensor]:
    """The output, and the gradients in all that learns."""
    leaf = x.clone().requires_grad_(gradients)
    y = output_of(run, leaf)
    found = {"output": y.detach()}
    if gradients and y.requires_grad:
        names, leaves = named_leaves(of if of is not None else run, leaf)
        gradients_in = projected_gradients(y, names, leaves, seed=2)
        found |= {f"gradient in {name}": value for name, value in gradients_in.items()}
    return found


def _compare(ours: dict[str, Tensor], eager: dict[str, Tensor], how: str) -> None:
    if ours.keys() != eager.keys():
        raise AssertionError(f"{how}, it has the {list(ours)}, and eager the {list(eager)}")
    scale = greatest(*(value for name, value in eager.items() if name.startswith("gradient")))
    for name, value in ours.items():
        expected = eager[name]
        if value.shape != expected.shape or value.dtype != expected.dtype:
            raise AssertionError(
                f"{how}, the {name} is {value.dtype} {tuple(value.shape)}, and in eager mode {expected.dtype} "
                f"{tuple(expected.shape)}"
            )
        if not value.is_floating_point():  # a position
            value, expected = value.double(), expected.double()  # noqa: PLW2901
        found = difference(
            value, expected, scale=scale if name.startswith("gradient") else greatest(expected)
        )
        if found is not None:
            raise AssertionError(
                f"{how}, the {name} is not that of eager mode: at {site(found.at)} {found.actual:.6g} instead of "
                f"{found.expected:.6g}"
            )
