"""A value that learns inside its bounds."""

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

    Calling the module gives the value with its gradient; `.value` gives it without. With `integer` the value
    still moves continuously, since rounding has no gradient; it stands for the two integers beside it,

        w_i = max(0, 1 - |v - i|),      i = low ... high

    whose operators are mixed with these `weights()`: exactly one of them at an integer. Gradient finds the right
    integer from one step away; from afar the mixtures between are often worse than a wrong integer, and `harden`
    tries them all.

    The bounds are in the state dict, as the buffer `interval`. Loaded into another interval, the value is the same, or,
    where it is outside, loading fails; `raw` changes. A checkpoint without them is taken to be of the same interval.

    As any parameter, `raw` becomes NaN when an optimizer steps on a gradient that is not finite. GradScaler leaves
    such steps out, and so does a MetaController; for an ordinary optimizer there is `guard_gradients`.

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
        """The value, with gradient."""
        value: Tensor = self._known(lambda: self._value_of(self.raw), [self.raw, self.low, self.high])
        return value.clone() if self._known.holds(value) else value  # the caller may change it in place

    @property
    def value(self) -> Tensor:
        """The value, detached; for `integer` it may lie between two integers, see `nearest`."""
        return self._value_of(self.raw.detach())

    @property
    def first(self) -> Tensor:
        """The first value, always on the CPU; without values, if it was given on the meta device."""
        with real_tensors():
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
