"""Check on an example that inserted layers do not mix the rows of a batch."""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from dsptorch.functional.validate import check_int
from dsptorch.isolation import preserved

__all__ = ["Example", "check_rows"]

Example = Tensor | tuple[Any, ...] | Mapping[str, Any]
"""The input of a model: a tensor, positional arguments, or keyword arguments."""


class _Seen(NamedTuple):
    """The record of one run of the model.

    Attributes:
        inputs: The inputs of each layer, one for each call: (rows, time, channels).
        output: The tensors of the model's output.
    """

    inputs: dict[str, list[Tensor]]
    output: list[Tensor]


class _Arguments(NamedTuple):
    """The arguments of a call of the model."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def check_rows(model: nn.Module, layers: list[str], example: Example, batch_dim: int) -> None:
    """Raise if an inserted layer, or the model with the layers in it, mixes the rows of a batch.

    The model runs in eval mode, without side effects, on the example and on the example with its first row replaced by
    its second.

    Args:
        model: The model, with the layers in it.
        layers: The names of the layers.
        example: The input of the model, with at least two different rows. The first tensor gives the number of rows;
            tensors of another size in `batch_dim` belong to all rows.
        batch_dim: The batch dimension of the tensors of the example.

    Raises:
        TypeError, ValueError: If rows mix, if a layer is not called, or if the example has no two different rows.
    """
    call = _as_call(example)
    changed, rows = _with_first_row_replaced(call, check_int("batch_dim", batch_dim, least=0))
    first, second = _run(model, layers, call), _run(model, layers, changed)
    problem = _problem(first, second, rows)
    if problem is None:
        return
    without = [_run(model, layers, each, bypass=True) for each in (call, changed)]
    mixed = _mixed(without[0].output, without[1].output, rows)
    if mixed:
        raise ValueError(
            f"without any inserted layer {mixed}: the model mixes rows itself, or its batch is not in dimension "
            f"{batch_dim} of the example, which batch_dim says; insert without an example if it is meant to"
        )
    raise ValueError(problem)


def _problem(first: _Seen, second: _Seen, rows: int) -> str | None:
    for name, calls in first.inputs.items():
        if not calls:
            return f"{name} was not called on the example; give an example that reaches it, or narrow where"
        again = second.inputs[name]
        if len(calls) != len(again):
            return (
                f"{name} was called {len(calls)} times on the example and {len(again)} with another first row, so its "
                "rows cannot be compared; insert without an example"
            )
        for before, after in zip(calls, again, strict=True):
            if not _only_first_changed(before, after, 0, rows):
                return (
                    f"{name} would mix the rows of a batch: it is given {tuple(before.shape)} for (batch, time, "
                    f"channels), which changes elsewhere than in the first of {rows} rows when that row alone is "
                    "changed; give the layout of its place: 'tbd' if time comes first, 'btd' if the batch does"
                )
    mixed = _mixed(first.output, second.output, rows)
    return mixed and f"with {', '.join(first.inputs)} {mixed}; build layers that treat each row by itself"


def _run(model: nn.Module, layers: list[str], call: _Arguments, *, bypass: bool = False) -> _Seen:
    """Run the model on a copy of a call; with `bypass` the layers return their input."""
    inputs: dict[str, list[Tensor]] = {name: [] for name in layers}

    def note(name: str) -> Any:
        return lambda _, args: inputs[name].append(args[0].detach().clone())

    with preserved(model, attributes=True, gradients=True, seed=0), torch.no_grad():
        model.eval()
        for name in layers:  # these hooks go with the attributes
            layer = model.get_submodule(name)
            layer.register_forward_pre_hook(note(name))
            if bypass:
                layer.register_forward_hook(lambda _, args, output: args[0])
        args, kwargs = tree_map(_copy, tuple(call))
        output = model(*args, **kwargs)
        return _Seen(inputs, [leaf.detach().clone() for leaf in _tensors(output)])


def _as_call(example: Example) -> _Arguments:
    if isinstance(example, Mapping):
        return _Arguments((), dict(example))
    if isinstance(example, tuple):
        return _Arguments(example, {})
    if isinstance(example, Tensor):
        return _Arguments((example,), {})
    raise TypeError(
        f"example must be a tensor, a tuple of arguments or a dict of keywords, got {type(example).__name__}"
    )


def _with_first_row_replaced(call: _Arguments, batch_dim: int) -> tuple[_Arguments, int]:
    """The call with its second row for its first, and how many rows there are."""
    rows = next((leaf.shape[batch_dim] for leaf in _tensors(call) if leaf.dim() > batch_dim), 0)
    if rows < 2:
        raise ValueError(
            f"example must hold at least 2 rows in dimension {batch_dim} (batch_dim), got {rows}; give two that differ"
        )

    def replaced(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor) or leaf.dim() <= batch_dim or leaf.size(batch_dim) != rows:
            return leaf
        if leaf.is_nested:  # its batch comes first
            _, *others = leaf.unbind()
            return torch.nested.as_nested_tensor([others[0], *others], layout=leaf.layout)
        order = torch.arange(rows, device=leaf.device)
        order[0] = 1
        return leaf.index_select(batch_dim, order)

    changed = _Arguments(*tree_map(replaced, tuple(call)))
    if all(torch.equal(a, b) for a, b in zip(_tensors(call), _tensors(changed), strict=True)):
        raise ValueError("example must hold a second row that differs from the first, got two equal ones")
    return changed, rows


def _mixed(first: list[Tensor], second: list[Tensor], rows: int) -> str | None:
    """How other rows of the output changed; a tensor without a dimension of that many rows says nothing."""
    for before, after in zip(first, second, strict=True):
        # A state may have its batch elsewhere than the output: one dimension in which the change keeps to its row.
        dims = [dim for dim, size in enumerate(before.shape) if size == rows]
        if dims and not any(_only_first_changed(before, after, dim, rows) for dim in dims):
            return (
                f"an output of shape {tuple(before.shape)} changes in other rows than the first of {rows}, when that "
                f"row alone is changed, by up to {_largest(before, after):.3g}"
            )
    return None


def _only_first_changed(before: Tensor, after: Tensor, dim: int, rows: int) -> bool:
    """Whether all items but the first `size / rows` along a dimension are equal; an image has several rows an item."""
    if before.dim() != after.dim() or before.shape[dim] != after.shape[dim]:
        return False
    # The first row may have been the longest of a padded batch.
    common = tuple(slice(min(sizes)) for sizes in zip(before.shape, after.shape, strict=True))
    before, after = before[common], after[common]
    same = (before == after) | (before.isnan() & after.isnan())
    each, rest = divmod(before.shape[dim], rows)
    # What no row changes, position embeddings say, cannot mix them.
    return bool(same.all()) or (not rest and bool(same.narrow(dim, each, before.shape[dim] - each).all()))


def _largest(before: Tensor, after: Tensor) -> float:
    common = tuple(slice(min(sizes)) for sizes in zip(before.shape, after.shape, strict=True))
    return (after[common].double() - before[common].double()).abs().nan_to_num().max().item()


def _tensors(tree: Any) -> list[Tensor]:
    """The tensors of a tree, where rows differ in length with zeros after their ends."""
    leaves = [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
    return [torch.nested.to_padded_tensor(leaf, 0.0) if leaf.is_nested else leaf for leaf in leaves]


def _copy(leaf: Any) -> Any:
    return leaf.detach().clone() if isinstance(leaf, Tensor) else copy.deepcopy(leaf)
