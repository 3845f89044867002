"""A value that learns inside its bounds."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.functional.bounds import from_bounded, to_bounded
from dsptorch.functional.memo import Memo
from dsptorch.functional.soft import hat_weights
from dsptorch.hyperparams.integers import check_integers, choose, saturated, snapped, start_inside


class BoundedHyperparam(nn.Module):
    """A learnable value that cannot leave its interval.

    The parameter is an unbounded number, `raw`; the value is

        v = low + (high - low) * sigmoid(raw),      or, if log,  v = low * (high / low) ** sigmoid(raw)

    Calling the module gives the value with its gradient; `.value` gives it without. With `integer` the value
    still moves continuously, since rounding has no gradient; it stands for the two integers beside it,

        w_i = max(0, 1 - |v - i|),      i = low ... high

    whose operators are mixed with these `weights()`: exactly one of them at an integer. Gradient finds the right
    integer from one step away; from afar the mixtures between are often worse than a wrong integer, and `harden`
    tries them all.

    Args:
        init: The first value, in [low, high], a number or a tensor. On a bound the gradient is 0, so an init
            there is placed 1 % of the interval inside, and for integers at most 0.1.
        low: The lower bound, finite; above 0 if `log`.
        high: The upper bound, finite, above `low`.
        log: Whether the scale is logarithmic: for rates, times and frequencies.
        integer: Whether it stands for integers; then the bounds are whole numbers and the scale is linear.
        shape: The shape of the value. A number as `init` fills it; a tensor brings its own.
        device: The device of `raw`.
        dtype: The dtype of `raw`: float32 (the default) or float64. It stays float32 when the model around
            it is cast to half precision.

    Shape:
        () -> shape

    Raises:
        ValueError: If the bounds are not an interval (of integers, if `integer`), or `init` is outside.

    Example:
        >>> mix = BoundedHyperparam(0.4, 0.2, 0.6)
        >>> mix
        BoundedHyperparam(0.4, low=0.2, high=0.6)
        >>> mix() * torch.ones(2)
        tensor([0.4000, 0.4000], grad_fn=<MulBackward0>)
        >>> mix.value
        tensor([0.4000])
        >>> factor = BoundedHyperparam(2.25, 1, 4, integer=True)
        >>> factor.weights().detach()
        tensor([[0.0000, 0.7500, 0.2500, 0.0000]])
        >>> factor.harden(lambda: (factor.value - 3.1) ** 2)
        BoundedHyperparam(3, low=1, high=4, integer=True)
    """

    no_weight_decay = ("raw",)

    def __init__(
        self,
        init: float | Tensor,
        low: float,
        high: float,
        *,
        log: bool = False,
        integer: bool = False,
        shape: tuple[int, ...] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"dtype must be torch.float32 or torch.float64, got {dtype}: half precision is too coarse to learn in"
            )
        self.low, self.high, self.log, self.integer = float(low), float(high), log, integer
        if integer:
            check_integers(self.low, self.high, log)
        if shape is None:
            shape = tuple(init.shape) if isinstance(init, Tensor) and init.dim() else (1,)
        # On the CPU, since its checks read it, and a meta device has no values.
        value = torch.as_tensor(init, dtype=dtype, device="cpu").detach()
        self._first = self._raw_of(value)
        self._known = Memo()
        self.raw = nn.Parameter(torch.empty(shape, dtype=dtype, device=device))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Return to the first value."""
        self.raw.copy_(self._first)

    def forward(self) -> Tensor:
        """The value, with gradient."""
        value: Tensor = self._known(lambda: self._value_of(self.raw), [self.raw, self.low, self.high])
        return value.clone() if self._known.holds(value) else value  # the caller may change it in place

    @property
    def value(self) -> Tensor:
        """The value, detached; for `integer` it may lie between two integers, see `nearest`."""
        return self._value_of(self.raw.detach())

    @property
    def first(self) -> Tensor:
        """The first value, always on the CPU."""
        return self._value_of(self._first)

    @property
    def nearest(self) -> Tensor:
        """The integer nearest to the value, as a floating-point tensor; halfway, the even one.

        Raises:
            AttributeError: If the hyperparameter is not of integers. (A TypeError would stop tools that look at every
                attribute, such as inspect.getmembers and torch.jit.trace.)
        """
        if not self.integer:
            raise AttributeError  # so __getattr__ is asked, which has the message
        return self.value.round()

    def __getattr__(self, name: str) -> Any:
        if name == "nearest":
            raise AttributeError(self._only_for_integers(name))
        return super().__getattr__(name)

    def weights(self) -> Tensor:
        """The weights of the integers low ... high, (*shape, high - low + 1), with gradient: see `hat_weights`."""
        self._check_integer("weights")
        return hat_weights(self(), int(self.low), int(self.high))

    @torch.no_grad()
    def set_(self, value: float | Tensor) -> None:
        """Move to a value in [low, high]; a bound is placed inside, as `init`; nothing changes if it is outside."""
        value = torch.as_tensor(value, dtype=self.raw.dtype)
        self.raw.copy_(self._raw_of(value).expand_as(self.raw))

    def freeze(self) -> "BoundedHyperparam":
        """Stop learning, at the present value; `requires_grad_(True)` undoes it.

        Example:
            >>> BoundedHyperparam(0.4, 0.2, 0.6).freeze()().requires_grad
            False
        """
        self.raw.requires_grad_(False)
        return self

    @torch.no_grad()
    def saturation(self) -> Tensor:
        """How far the value is from being able to learn: 0 in the middle of its interval, 1 where no gradient is left.

            1 - 4 * s * (1 - s),  s = sigmoid(raw)

        Example:
            >>> BoundedHyperparam(0.5, 0.0, 1.0).saturation()
            tensor([0.])
            >>> BoundedHyperparam(1.0, 0.0, 1.0).saturation()         # a bound: 1 % inside
            tensor([0.9604])
        """
        return torch.tanh(self.raw / 2).square()

    @torch.no_grad()
    def harden(
        self, loss: Callable[[], float | Tensor] | None = None, candidates: str = "neighbours"
    ) -> "BoundedHyperparam":
        """Freeze at a whole number: the value and the weights are then exact, also on a bound.

        To learn again, `set_` a value and call `requires_grad_(True)`.

        Args:
            loss: Evaluated without gradient at each candidate; the least wins, of equals the nearest to the
                present value. It should draw the same random numbers each time. None takes the nearest.
            candidates: "neighbours" compares the integers to the left and right of the value (one, if it is
                an integer), "all" every integer of the interval.

        Raises:
            TypeError: If it is not of integers, or `loss` does not return one number.
            ValueError: If a loss is not finite, there is a loss for several values, or `candidates` is another
                word. Whatever is raised, also by `loss`, nothing has changed.
        """
        self._check_integer("harden")
        kept = self.raw.clone()
        try:
            found = choose(self.value, self.low, self.high, self._stand_at, loss, candidates)
        finally:
            self.raw.copy_(kept)
        self._stand_at(found)
        return self.freeze()

    def extra_repr(self) -> str:  # noqa: D102
        mean = "?" if self.raw.is_meta else f"{self.value.mean().item():.4g}"
        value = mean if self.raw.numel() == 1 else f"mean {mean}, shape={tuple(self.raw.shape)}"
        kind = (", log=True" if self.log else "") + (", integer=True" if self.integer else "")
        return f"{value}, low={self.low:g}, high={self.high:g}{kind}"

    def _value_of(self, raw: Tensor) -> Tensor:
        value = to_bounded(raw, self.low, self.high, log=self.log)
        return snapped(value, self.low, self.high) if self.integer else value

    def _raw_of(self, value: Tensor) -> Tensor:
        if self.integer:
            value = start_inside(value, self.low, self.high)
        return from_bounded(value, self.low, self.high, log=self.log)

    def _stand_at(self, integer: Tensor) -> None:
        """Be exactly at a whole number, on a bound too."""
        self.raw.copy_(saturated(self._raw_of(integer), integer, self.low, self.high))

    def _check_integer(self, name: str) -> None:
        if not self.integer:
            raise TypeError(self._only_for_integers(name))

    def _only_for_integers(self, name: str) -> str:
        return (
            f"{name} is for hyperparameters of integers, got {self!r}; build it with integer=True, or use value and "
            "freeze()"
        )

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
