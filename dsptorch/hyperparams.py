"""Hyperparameters that learn inside their bounds, and the parameter groups that an optimizer needs."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.functional.bounds import from_bounded, to_bounded


class BoundedHyperparam(nn.Module):
    """A learnable value that cannot leave its interval.

    The parameter is an unbounded number, `raw`; the value is

        v = low + (high - low) * sigmoid(raw),      or, if log,  v = low * (high / low) ** sigmoid(raw)

    Calling the module gives the value with its gradient; `.value` gives it without.

    Args:
        init: The first value, in [low, high], a number or a tensor. On a bound the gradient is 0, so an init
            there is placed 1 % of the interval inside.
        low: The lower bound, finite; above 0 if `log`.
        high: The upper bound, finite, above `low`.
        log: Whether the scale is logarithmic: for rates, times and frequencies.
        shape: The shape of the value. A number as `init` fills it; a tensor brings its own.
        device: The device of `raw`.
        dtype: The dtype of `raw`: float32 (the default) or float64. It stays float32 when the model around
            it is cast to half precision.

    Shape:
        () -> shape

    Raises:
        ValueError: If the bounds are no interval, or `init` is outside.

    Example:
        >>> mix = BoundedHyperparam(0.4, 0.2, 0.6)
        >>> mix
        BoundedHyperparam(0.4, low=0.2, high=0.6)
        >>> mix() * torch.ones(2)
        tensor([0.4000, 0.4000], grad_fn=<MulBackward0>)
        >>> mix.value
        tensor([0.4000])
    """

    no_weight_decay = ("raw",)

    def __init__(
        self,
        init: float | Tensor,
        low: float,
        high: float,
        *,
        log: bool = False,
        shape: tuple[int, ...] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"dtype must be torch.float32 or torch.float64, got {dtype}: half precision is too coarse to learn in"
            )
        self.low, self.high, self.log = float(low), float(high), log
        if shape is None:
            shape = tuple(init.shape) if isinstance(init, Tensor) and init.dim() else (1,)
        value = torch.as_tensor(
            init, dtype=dtype, device="cpu"
        ).detach()  # its checks read it; a meta device has none
        raw = from_bounded(value, self.low, self.high, log=log)
        self._first = raw
        self.raw = nn.Parameter(torch.empty(shape, dtype=dtype, device=device))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Return to the first value."""
        self.raw.copy_(self._first)

    def forward(self) -> Tensor:
        """The value, with gradient."""
        return to_bounded(self.raw, self.low, self.high, log=self.log)

    @property
    def value(self) -> Tensor:
        """The value, detached."""
        return to_bounded(self.raw.detach(), self.low, self.high, log=self.log)

    @torch.no_grad()
    def set_(self, value: float | Tensor) -> None:
        """Move to a value in [low, high]; a bound is placed 1 % inside; nothing changes if the value is outside."""
        value = torch.as_tensor(value, dtype=self.raw.dtype)
        self.raw.copy_(from_bounded(value, self.low, self.high, log=self.log).expand_as(self.raw))

    def extra_repr(self) -> str:  # noqa: D102
        mean = "?" if self.raw.is_meta else f"{self.value.mean().item():.4g}"
        value = mean if self.raw.numel() == 1 else f"mean {mean}, shape={tuple(self.raw.shape)}"
        return f"{value}, low={self.low:g}, high={self.high:g}" + (", log=True" if self.log else "")

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "BoundedHyperparam":
        super()._apply(at_least_float32(fn), recurse)  # type: ignore[no-untyped-call]
        return self


def at_least_float32(fn: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Make a conversion, as `Module._apply` gets it, move a tensor but not cast it below float32."""

    def convert(tensor: Tensor) -> Tensor:
        converted = fn(tensor)
        if converted.is_floating_point() and converted.dtype.itemsize < 4:
            return tensor.to(device=converted.device)
        return converted

    return convert


Hyperparam = float | BoundedHyperparam
"""What a layer's hyperparameter argument takes: a fixed number, or one that learns."""


def check_hyperparam(
    name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, width: int = 1
) -> Hyperparam:
    """Return a hyperparameter argument if it is one: finite, and within what makes sense for it.

    Args:
        name: The argument's name, for the error.
        value: What was given.
        low: The least value that makes sense.
        high: The greatest.
        width: How many values it may hold instead of one: d_model for one a channel.

    Raises:
        TypeError: If it is neither a number nor a BoundedHyperparam.
        ValueError: If it is not finite, or outside.
    """
    if isinstance(value, BoundedHyperparam):
        if value.low < low or value.high > high:
            raise ValueError(
                f"{name} must stay in [{low:g}, {high:g}], got bounds [{value.low:g}, {value.high:g}]; narrow them"
            )
        if value.raw.numel() != 1 and tuple(value.raw.shape) != (width,):
            one_each = f", or {width}, one a channel" if width > 1 else ""
            raise ValueError(f"{name} must hold 1 value{one_each}, got shape {tuple(value.raw.shape)}")
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            f"{name} must be a float (fixed) or a BoundedHyperparam (learned), got {value!r} "
            f"of type {type(value).__name__}"
        )
    if not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{name} must be a finite number in [{low:g}, {high:g}], got {value}")
    return float(value)


def current(value: Hyperparam) -> float | Tensor:
    """The value to compute with: the number, or the tensor with its gradient."""
    return value() if isinstance(value, BoundedHyperparam) else value


def fixed_repr(**hyperparams: Hyperparam) -> str:
    """The fixed ones among a layer's hyperparameters, to append to its `extra_repr`; learned ones print themselves."""
    return "".join(f", {name}={value:g}" for name, value in hyperparams.items() if isinstance(value, float))


def named_hyperparams(model: nn.Module) -> Iterator[tuple[str, BoundedHyperparam]]:
    """Every BoundedHyperparam of a model with its name, each once.

    Example:
        >>> from dsptorch import Multirate
        >>> for name, hyperparam in named_hyperparams(Multirate(8)):
        ...     print(name, hyperparam)
        mix_ratio BoundedHyperparam(0.4, low=0.2, high=0.6)
        detail_strength BoundedHyperparam(0.75, low=0.5, high=1)
    """
    for name, module in model.named_modules():
        if isinstance(module, BoundedHyperparam):
            yield name, module


def param_groups(model: nn.Module, *, weight_decay: float) -> list[dict[str, Any]]:
    """Split a model's parameters into those that weight decay should pull to zero and those it must not.

    Not decayed: vectors and scalars (biases, norms, gains), and what a module names in its class attribute
    `no_weight_decay`: raw hyperparameters (0 is the middle of their interval, not the absence of an effect)
    and filter taps (0 is silence, not the identity).

    Args:
        model: Any module. Parameters that do not require a gradient are left out.
        weight_decay: The decay of the others, at least 0.

    Returns:
        Two groups for any `torch.optim` optimizer.

    Example:
        >>> groups = param_groups(torch.nn.Linear(4, 4), weight_decay=0.1)
        >>> [(group["weight_decay"], len(group["params"])) for group in groups]
        [(0.1, 1), (0.0, 1)]
    """
    if not math.isfinite(weight_decay) or weight_decay < 0:
        raise ValueError(f"weight_decay must be a finite number, at least 0, got {weight_decay}")
    spared = {id(parameter) for module in model.modules() for parameter in _not_decayed(module)}
    params = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in params if p.dim() >= 2 and id(p) not in spared]
    others = [p for p in params if p.dim() < 2 or id(p) in spared]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _not_decayed(module: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters that a module names in `no_weight_decay`, an attribute or (as in timm) a method."""
    names = getattr(module, "no_weight_decay", ())
    own = dict(module.named_parameters())
    for name in names() if callable(names) else names:
        parametrized = f"parametrizations.{name}."  # by torch.nn.utils.parametrize: the originals stand there
        yield from (p for key, p in own.items() if key == name or key.startswith(parametrized))
