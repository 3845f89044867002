"""Hyperparameters in place of plain numbers inside existing modules."""

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
    """Bind a hyperparameter to a numeric attribute of a module, in place.

    Afterwards the module's `forward` reads `self.<name>` as `hyperparam()`: a 0-dimensional tensor with its gradient,
    which does not promote half-precision activations (except 0-dimensional ones, such as a mean over everything, which
    become float32). The hyperparameter becomes a child of the module (`named_hyperparams`, `state_dict` and `.to()`
    see it) and keeps its own value: the number in the attribute need not equal it or lie in its bounds. `unbind`
    restores the number. deepcopy, pickle, `torch.compile`, `torch.func.functional_call` and activation checkpointing
    around the module still work, and so do `insert` and `remove`, in any order.

    Only `forward` and the functions that it calls see the tensor. Outside `forward`, for other methods, hooks and
    `repr`, the attribute is the old number; the learned value is `hyperparam.value`. An activation checkpoint *within*
    `forward` recomputes after `forward` has ended and would see the old number: put the checkpoint around the module.
    As with `insert`, `nn.DataParallel` and concurrent calls of one module from several threads do not work.

    `forward` can compute with the tensor. It cannot pass it to a function that accepts only floats (`eps` of
    nn.LayerNorm, `p` of nn.Dropout, `negative_slope` of nn.LeakyReLU) or read it into Python (`float(self.p)`,
    `math.exp(self.p)`, `if self.p > 0:`), where its gradient would end. This raises at the first such call, or already
    in `bind` if an example is given; see Raises. In compiled code the compiler raises its own error, or `float(self.p)`
    silently loses the gradient: give an example, or call the module once before it is compiled.

    Args:
        module: Any module except containers and dsptorch layers.
        name: The name of an attribute of the module or its class that is an int or a float.
        hyperparam: A hyperparameter with one value.
        example: The input of `forward`, a tensor or a tuple of arguments. If given, the module runs once on a copy of
            it, in its current mode, to check that a gradient flows from the output to the hyperparameter (unless that
            is frozen). Buffers, attributes, gradients and torch's random state are restored; hooks do run.

    Returns:
        The name of the child, `<name>_hyperparam`.

    Raises:
        TypeError, ValueError: If the attribute is not a number or is already bound, the module runs its children
            itself (Sequential) or is a dsptorch layer (which takes hyperparameters as arguments), or the example fails.
            The module is then unchanged. Also from `forward`, if it cannot compute with a tensor: keep the float then,
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
    """Remove a bound hyperparameter. The attribute becomes a float with the current value.

    Everything else is restored to the state before `bind`.

    Args:
        module: The module.
        name: The attribute.

    Returns:
        The current value as a float.

    Raises:
        ValueError: If the attribute is not bound.

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
