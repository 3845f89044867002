"""A value that is learned within bounds."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.functional.bounds import from_bounded, to_bounded
from dsptorch.functional.memo import Memo
from dsptorch.functional.soft import hat_weights
from dsptorch.functional.validate import check_bool, has_values
from dsptorch.hyperparams.first_values import FirstValues, is_loaded, real_tensors
from dsptorch.hyperparams.integers import check_integers, choose, saturated, snapped, start_inside
from dsptorch.hyperparams.intervals import Interval, checked_bound, checked_init, converted, fitted
from dsptorch.hyperparams.precision import at_least_float32


class BoundedHyperparam(FirstValues):
    """A learnable value that cannot leave its interval.

    The parameter is an unbounded number, `raw`; the value is

        v = low + (high - low) * sigmoid(raw),      or, if log,  v = low * (high / low) ** sigmoid(raw)

    Calling the module returns the value with its gradient; `.value` returns it without. With `integer` the value
    still moves continuously, because rounding has no gradient. It stands for its two neighbouring integers,

        w_i = max(0, 1 - |v - i|),      i = low ... high

    whose operators are mixed with these `weights()`; at an integer only one of them remains. Gradient descent finds
    the best integer from one step away. From further away the mixtures in between are often worse than a wrong
    integer, and `harden` tries all integers.

    The bounds are in the state dict, as the buffer `interval`. Loading into another interval keeps the value and
    changes `raw`; it fails if the value is outside. A checkpoint without bounds is taken to have the same interval.

    Like any parameter, `raw` becomes NaN if an optimizer steps on a gradient that is not finite. GradScaler and
    MetaController skip such steps; for other optimizers use `guard_gradients`.

    Args:
        init: The initial value, in [low, high], a number or a tensor. On a bound the gradient is 0, so an init on a
            bound is moved inside by 1 % of the interval (for integers, by at most 0.1).
        low: The lower bound, finite; above 0 if `log`.
        high: The upper bound, finite, above `low`.
        log: Whether the scale is logarithmic: for rates, times and frequencies.
        integer: Whether the value stands for integers. The bounds must then be whole numbers and the scale linear.
        shape: The shape of the value. An `init` that is a number fills it; a tensor has its own shape.
        device: The device of `raw`.
        dtype: The dtype of `raw`: float32 (the default) or float64. It stays float32 when the model around
            it is cast to half precision.

    Shape:
        () -> shape

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If the bounds are not an interval (of integers, if `integer`), `init` is outside, or `init` does not
            fit `shape`.

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
    interval: Tensor

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
        self.low, self.high = checked_bound("low", low), checked_bound("high", high)
        self.log, self.integer = check_bool("log", log), check_bool("integer", integer)
        if integer:
            check_integers(self.low, self.high, log)
        with real_tensors():
            self._first = self._raw_of(checked_init(init, shape, dtype))
        self._known = Memo()
        self.raw = nn.Parameter(torch.empty(self._first.shape, dtype=dtype, device=device))
        self.register_buffer("interval", torch.empty(3, dtype=dtype, device=device))
        self.set_first_values()

    def first_values(self) -> Mapping[str, Tensor]:  # noqa: D102
        return {"raw": self._first, "interval": self._interval.tensor(self._first)}

    def forward(self) -> Tensor:
        """Return the value with its gradient."""
        value: Tensor = self._known(lambda: self._value_of(self.raw), [self.raw, self.low, self.high])
        return (
            value.clone() if self._known.holds(value) else value
        )  # the caller may change the result in place

    @property
    def value(self) -> Tensor:
        """The value, detached. For `integer` it may lie between two integers; see `nearest`."""
        return self._value_of(self.raw.detach())

    @property
    def first(self) -> Tensor:
        """The initial value, on the CPU (on the meta device if `init` was given there)."""
        with real_tensors():
            return self._value_of(self._first)

    @property
    def nearest(self) -> Tensor:
        """The integer nearest to the value, as a floating-point tensor; ties go to the even integer.

        Raises:
            AttributeError: If the hyperparameter is not of integers. (A TypeError would stop tools that read every
                attribute, such as inspect.getmembers and torch.jit.trace.)
        """
        if not self.integer:
            raise AttributeError  # __getattr__ is called next and raises with the message
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
        """Set the value, in [low, high]. A bound is moved inside as for `init`; a value outside changes nothing."""
        value = torch.as_tensor(value, dtype=self.raw.dtype)
        self.raw.copy_(self._raw_of(value).expand_as(self.raw))

    def freeze(self) -> "BoundedHyperparam":
        """Stop learning at the current value; `requires_grad_(True)` resumes it.

        Example:
            >>> BoundedHyperparam(0.4, 0.2, 0.6).freeze()().requires_grad
            False
        """
        self.raw.requires_grad_(False)
        return self

    @torch.no_grad()
    def saturation(self) -> Tensor:
        """How close the value is to a bound: 0 in the middle of the interval, 1 where no gradient is left.

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
        """Freeze at an integer. The value and the weights are then exact, also on a bound.

        To resume learning, `set_` a value and call `requires_grad_(True)`.

        Args:
            loss: Evaluated without gradient at each candidate. The least loss wins; among equals, the candidate nearest
                to the current value. It should draw the same random numbers each time. None takes the nearest integer.
            candidates: "neighbours" compares the integers to the left and right of the value (one if the value is an
                integer), "all" compares every integer of the interval.

        Raises:
            TypeError: If the hyperparameter is not of integers, or `loss` does not return one number.
            ValueError: If a loss is not finite, a loss is given for several values, or `candidates` is not one of
                these words. After any error, also one raised by `loss`, the hyperparameter is unchanged.
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
        mean = f"{self.value.mean().item():.4g}" if has_values(self.raw) else "?"
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
        """Set the value exactly to an integer, also on a bound."""
        self.raw.copy_(saturated(self._raw_of(integer), integer, self.low, self.high))

    def _check_integer(self, name: str) -> None:
        if not self.integer:
            raise TypeError(self._only_for_integers(name))

    def _only_for_integers(self, name: str) -> str:
        return (
            f"{name} is for hyperparameters of integers, got {self!r}; build it with integer=True, or use value and "
            "freeze()"
        )

    @property
    def _interval(self) -> Interval:
        return Interval(self.low, self.high, self.log)

    @torch.no_grad()
    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        if has_values(self.interval):
            self.interval.copy_(self._interval.tensor(self.interval))  # low and high may have been assigned
        super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        errors: list[str] = args[-1]
        try:
            state = fitted(state_dict, f"{prefix}raw", f"{prefix}interval", self._interval)
        except ValueError as error:
            errors.append(f"{prefix}raw: {error}")
            return
        super()._load_from_state_dict(state, prefix, *args)

    @torch.no_grad()
    def _complete(self) -> None:
        if is_loaded(self.raw) and is_loaded(self.interval):
            self.raw.copy_(converted(self.raw, self.interval, self._interval))
            self.interval.copy_(self._interval.tensor(self.interval))
        super()._complete()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "BoundedHyperparam":
        super()._apply(at_least_float32(fn), recurse)  # type: ignore[no-untyped-call]
        return self
