"""Letting a plain number inside a module that we do not own learn."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.hyperparams import BoundedHyperparam
from dsptorch.layers import Layer
from dsptorch.surgery.binding.tensor_number import RefusedError, TensorNumber, Use, as_tensors, refusal
from dsptorch.surgery.binding.trial import check_gradient
from dsptorch.surgery.find import CONTAINERS
from dsptorch.surgery.insertion.inserted import InsertedForward


def bind(
    module: nn.Module,
    name: str,
    hyperparam: BoundedHyperparam,
    *,
    example: Tensor | tuple[Any, ...] | None = None,
) -> str:
    """Bind a hyperparameter to a number that a module keeps as an attribute, in place.

    From then on the module's `forward` reads `self.<name>` as `hyperparam()`: a tensor with 0 dimensions, with its
    gradient, which does not promote half-precision activations. The hyperparameter becomes a child of the module
    (`named_hyperparams`, `state_dict` and `.to()` see it) and keeps its own value: the number that the attribute held
    need not equal it, nor lie in its bounds. `unbind` undoes it. deepcopy, pickle, `torch.compile`,
    `torch.func.functional_call` and a checkpoint around the module go on working, and so do `insert` and `remove`, in
    any order.

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
        module: Any module that is no container and no dsptorch layer.
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
    _check(module, name, hyperparam)
    args = (example,) if isinstance(example, Tensor) else example
    if args is not None and not isinstance(args, tuple):
        raise TypeError(
            f"example must be a tensor or a tuple of arguments of forward, got {type(example).__name__}"
        )
    of_class = name not in vars(module)
    child = _free_name(module, f"{name}_hyperparam")
    module.add_module(child, hyperparam)
    forward = _attach(module, name, child)
    if args is not None:
        try:
            check_gradient(module, name, hyperparam, args)
        except BaseException:
            _detach(module, forward, name)
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
    forward = _bound(module)
    names = [bound for bound, _, _ in forward.bound] if forward else []
    if forward is None or name not in names:
        raise ValueError(
            f"{name} of {type(module).__name__} is not bound; bound are: {', '.join(names) or 'none'} (if its forward "
            "was replaced since, undo that first)"
        )
    hyperparam = module.get_submodule(forward.child(name))
    value = float(hyperparam.value)  # type: ignore[arg-type]
    _detach(module, forward, name)
    setattr(module, name, value)
    return value


class _Forward:
    """What a module's `forward` is while hyperparameters are bound: its own, with their values in place.

    It is set on the instance, as `insert` does and for its reason. The attributes hold tensors only while it runs:
    a tensor with a history could be neither copied nor pickled.
    """

    def __init__(self, module: nn.Module, own: Callable[..., Any] | None) -> None:
        self.module, self.own = module, own
        # The attribute, the child, and the number that stood there.
        self.bound: tuple[tuple[str, str, float], ...] = ()

    @property
    def __signature__(self) -> inspect.Signature:
        # `insert`, and trainers, look for the names of the arguments.
        return inspect.signature(self.own or type(self.module).forward.__get__(self.module))

    @property
    def __code__(self) -> Any:  # `torch.export` looks for its place in a file
        return (self.own or type(self.module).forward).__code__

    def child(self, name: str) -> str:
        return next(child for bound, child, _ in self.bound if bound == name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        module, use = self.module, Use()
        before, values = {}, {}
        for name, child, number in self.bound:
            before[name] = getattr(module, name)
            # It is a tensor where forward calls itself.
            if not isinstance(before[name], Tensor) and before[name] != number:
                raise ValueError(
                    f"{name} of {type(module).__name__} was set to {before[name]!r}, but it is bound, and forward "
                    f"would not see that; move {child} by its set_(), or unbind first"
                )
            value = module.get_submodule(child)().reshape(())
            # A compiler sees itself what is read into Python; and what is a subclass already stays one.
            if not torch.compiler.is_compiling() and type(value) is Tensor:
                value = TensorNumber.of(value, use, name, module)
            values[name] = value
        try:
            for name, value in values.items():
                setattr(module, name, value)
            output = (
                type(module).forward(module, *args, **kwargs)
                if self.own is None
                else self.own(*args, **kwargs)
            )
            for name, value in values.items():
                if getattr(module, name) is not value:
                    raise ValueError(
                        f"forward of {type(module).__name__} assigns {name}, so it cannot be bound: unbind it"
                    )
        except TypeError as error:
            # Where only floats are taken, PyTorch and Python name the type that came; nobody else knows this name.
            if TensorNumber.__name__ in str(error) and not isinstance(error, RefusedError):
                raise refusal(" or ".join(values), module, str(error)) from error
            raise
        finally:
            use.over = True
            for name, number in before.items():
                setattr(module, name, number)
        return output if torch.compiler.is_compiling() else as_tensors(output)


def _bound(module: nn.Module) -> _Forward | None:
    forward = vars(module).get("forward")
    if isinstance(forward, InsertedForward):
        forward = forward.own  # within the insertions, so that `remove` finds them, and leaves this one
    return forward if isinstance(forward, _Forward) else None


def _set_own(module: nn.Module, own: Callable[..., Any] | None) -> None:
    """Make this the forward of the instance, within what was inserted; None is that of its class."""
    forward = vars(module).get("forward")
    if isinstance(forward, InsertedForward):
        forward.own = own
    elif own is None:
        del module.forward
    else:
        module.forward = own


def _attach(module: nn.Module, name: str, child: str) -> _Forward:
    forward = _bound(module)
    if forward is None:
        own = vars(module).get("forward")
        forward = _Forward(module, own.own if isinstance(own, InsertedForward) else own)
        _set_own(module, forward)
    number = getattr(module, name)
    setattr(module, name, number)  # on the instance, if it was the class's
    forward.bound += ((name, child, number),)
    return forward


def _detach(module: nn.Module, forward: _Forward, name: str) -> None:
    delattr(module, forward.child(name))
    forward.bound = tuple(entry for entry in forward.bound if entry[0] != name)
    if not forward.bound:
        _set_own(module, forward.own)


def _check(module: nn.Module, name: str, hyperparam: BoundedHyperparam) -> None:
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be an nn.Module, got {module!r} of type {type(module).__name__}")
    if not isinstance(hyperparam, BoundedHyperparam):
        raise TypeError(
            f"hyperparam must be a BoundedHyperparam, got {hyperparam!r} of type {type(hyperparam).__name__}"
        )
    kind = type(module).__name__
    if isinstance(module, CONTAINERS):
        raise TypeError(
            f"{kind} runs its children itself, and would run the hyperparameter as one of them; bind at a member"
        )
    if isinstance(module, Layer):
        raise TypeError(
            f"{kind} is a dsptorch layer, whose step would not know of it; give the hyperparameter to its constructor"
        )
    if hyperparam.raw.numel() != 1:
        raise ValueError(
            f"hyperparam must hold 1 value, as {name} does, got shape {tuple(hyperparam.raw.shape)}"
        )
    forward = _bound(module)
    if forward and any(bound == name for bound, _, _ in forward.bound):
        raise ValueError(f"{name} of {kind} is bound to {forward.child(name)}; unbind it first")
    of_class = inspect.getattr_static(type(module), name, None)
    if hasattr(type(of_class), "__get__") or hasattr(type(of_class), "__set__"):
        raise TypeError(
            f"{name} of {kind} is a property or a method; bind the plain number that it is made of"
        )
    try:
        number = getattr(module, name)
    except AttributeError:
        numbers = ", ".join(key for key, value in vars(module).items() if type(value) in (int, float))
        raise ValueError(
            f"{kind} has no attribute {name!r}; its plain numbers are: {numbers or 'none'}"
        ) from None
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        learns = ", which learns without it" if isinstance(number, nn.Parameter) else ""
        raise TypeError(f"{name} of {kind} must be a float or an int, got a {type(number).__name__}{learns}")


def _free_name(module: nn.Module, stem: str) -> str:
    name, count = stem, 1
    while hasattr(module, name):
        count += 1
        name = f"{stem}_{count}"
    return name
