"""Hyperparameters in the place of plain numbers inside modules that we do not own."""

from typing import Any

from torch import Tensor, nn

from dsptorch.hyperparams import BoundedHyperparam
from dsptorch.surgery.binding.bound import BoundForward, bind_number, unbind_number
from dsptorch.surgery.binding.trial import check_gradient, check_number


def bind(
    module: nn.Module,
    name: str,
    hyperparam: BoundedHyperparam,
    *,
    example: Tensor | tuple[Any, ...] | None = None,
) -> str:
    """Bind a hyperparameter to a number that a module keeps as an attribute, in place.

    From then on the module's `forward` reads `self.<name>` as `hyperparam()`: a tensor with 0 dimensions, with its
    gradient, which does not promote half-precision activations (one with 0 dimensions, as a mean over all, becomes
    float32). The hyperparameter becomes a child of the module (`named_hyperparams`, `state_dict` and `.to()` see it)
    and keeps its own value: the number that the attribute held need not equal it, nor lie in its bounds. `unbind`
    undoes it. deepcopy, pickle, `torch.compile`, `torch.func.functional_call` and a checkpoint around the module still
    work, and so do `insert` and `remove`, in any order.

    Only `forward`, and what it calls, sees the tensor. Before and after it the attribute is the number that it was,
    for other methods, hooks, `repr` and whoever reads it from outside: the value that learns is `hyperparam.value`. A
    checkpoint *within* `forward` recomputes after it, and would see that number: put the checkpoint around the module.
    As with `insert`, `nn.DataParallel` and calls of one module from several threads at once do not work.

    `forward` can compute with the tensor, but can neither give it to a function that takes floats alone (`eps` of
    nn.LayerNorm, `p` of nn.Dropout, `negative_slope` of nn.LeakyReLU), nor read it into Python (`float(self.p)`,
    `math.exp(self.p)`, `if self.p > 0:`), where its gradient would end. It is refused at the first such call, or now,
    if there is an example; what to do then, see Raises. Compiled code meets the compiler's own error there, or passes
    `float(self.p)` by without a gradient: give an example, or call the module once before it is compiled.

    Args:
        module: Any module that is neither a container nor a dsptorch layer.
        name: An attribute of it, or of its class, that is an int or a float.
        hyperparam: It holds one value.
        example: What `forward` takes, a tensor or a tuple of arguments. If given, the module runs once on a copy of it,
            in its present mode, to see that a gradient comes from the output to the hyperparameter (unless that is
            frozen). Buffers, attributes, gradients and torch's random state are as before then; hooks do run.

    Returns:
        The name of the child, `<name>_hyperparam`.

    Raises:
        TypeError, ValueError: If there is no such number, or it is bound; if the module runs its children itself
            (Sequential) or is a dsptorch layer, which takes hyperparameters by itself; or if the example fails. The
            module is unchanged. From `forward`, if it cannot compute with a tensor: leave it an ordinary float then,
            and let a MetaController with the estimator "es" move it through a setter (`controller.add_hyperparam`).

    Example:
        >>> import torch
        >>> class Scores(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.temperature = 1.0
        ...     def forward(self, x):
        ...         return torch.softmax(x / self.temperature, -1)
        >>> scores, x = Scores(), torch.tensor([0.0, 1.0])
        >>> bind(scores, "temperature", BoundedHyperparam(2.0, 0.1, 10, log=True), example=x)
        'temperature_hyperparam'
        >>> scores(x)
        tensor([0.3775, 0.6225], grad_fn=<SoftmaxBackward0>)
        >>> round(unbind(scores, "temperature"), 4)
        2.0
    """
    check_number(module, name, hyperparam)
    args = (example,) if isinstance(example, Tensor) else example
    if args is not None and not isinstance(args, tuple):
        raise TypeError(
            f"example must be a tensor or a tuple of arguments of forward, got {type(example).__name__}"
        )
    of_class = name not in vars(module)
    child = _free_name(module, f"{name}_hyperparam")
    module.add_module(child, hyperparam)
    forward = bind_number(module, name, child)
    if args is not None:
        try:
            check_gradient(module, name, hyperparam, args)
        except BaseException:
            unbind_number(forward, name)
            if of_class:
                delattr(module, name)
            raise
    return child


def unbind(module: nn.Module, name: str) -> float:
    """Take a bound hyperparameter out again: the attribute is an ordinary float then, the value at present.

    All else is as it was before `bind`.

    Args:
        module: The module.
        name: The attribute.

    Returns:
        The float.

    Raises:
        ValueError: If it is not bound.

    Example:
        >>> class Gain(nn.Module):
        ...     gain = 1
        ...     def forward(self, x):
        ...         return x * self.gain
        >>> gain = Gain()
        >>> bind(gain, "gain", BoundedHyperparam(0.5, 0, 2))
        'gain_hyperparam'
        >>> unbind(gain, "gain"), gain.gain
        (0.5, 0.5)
    """
    forward = BoundForward.of(module)
    names = [bound for bound, _, _ in forward.bound] if forward else []
    if forward is None or name not in names:
        raise ValueError(
            f"{name} of {type(module).__name__} is not bound; bound are: {', '.join(names) or 'none'} (if its forward "
            "was replaced since, undo that first)"
        )
    hyperparam = module.get_submodule(forward.child(name))
    value = float(hyperparam.value)  # type: ignore[arg-type]
    unbind_number(forward, name)
    setattr(module, name, value)
    return value


def _free_name(module: nn.Module, stem: str) -> str:
    name, count = stem, 1
    while hasattr(module, name):
        count += 1
        name = f"{stem}_{count}"
    return name
