"""Two optimizers: the user's optimizer of the weights, and Adam on the raw values of the hyperparameters."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.hyperparams import BoundedHyperparam, param_groups
from dsptorch.meta.estimators.rules import State

__all__ = ["Inner", "Outer", "Setter", "refuse_held"]

_HINT = "make it of controller.inner_param_groups(weight_decay=...)"


class Inner:
    """The optimizer of a model's weights: its parameter groups and its memory.

    Args:
        model: The model, without wrappers.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._optimizer: torch.optim.Optimizer | None = None

    def groups(
        self, weight_decay: float, hyperparams: Mapping[str, BoundedHyperparam]
    ) -> list[dict[str, Any]]:
        """The parameter groups of the weights, without the hyperparameters."""
        controlled = {id(h.raw) for h in hyperparams.values()}
        groups = param_groups(self._model, weight_decay=weight_decay)
        return [{**g, "params": [p for p in g["params"] if id(p) not in controlled]} for g in groups]

    def attach(self, optimizer: torch.optim.Optimizer, hyperparams: Mapping[str, BoundedHyperparam]) -> None:
        """Use the state of an optimizer from now on.

        Raises:
            TypeError, ValueError: If it is not an optimizer, or holds one of these hyperparameters.
        """
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(
                f"optimizer must be a torch.optim.Optimizer, got {type(optimizer).__name__}; a wrapper keeps the real "
                "one, often as .optimizer"
            )
        refuse_held(optimizer, hyperparams)
        self._optimizer = optimizer

    def refuse_held(self, hyperparams: Mapping[str, BoundedHyperparam]) -> None:
        """Raise if the attached optimizer holds one of the hyperparameters."""
        if self._optimizer is not None:
            refuse_held(self._optimizer, hyperparams)

    def state(self) -> State:
        """The memory of the attached optimizer, by the names of the weights."""
        if self._optimizer is None:
            return {}
        known = self._optimizer.state
        return {name: dict(known[p]) for name, p in self._model.named_parameters() if p in known}

    def decayed(self) -> frozenset[str]:
        """The names of the weights that decay."""
        decayed = {id(p) for p in param_groups(self._model, weight_decay=1.0)[0]["params"]}
        return frozenset(name for name, p in self._model.named_parameters() if id(p) in decayed)


def refuse_held(
    optimizer: torch.optim.Optimizer, hyperparams: Mapping[str, BoundedHyperparam], hint: str = _HINT
) -> None:
    """Refuse an optimizer of the weights that also steps a hyperparameter, with a hint at what to do.

    Raises:
        ValueError: It names the hyperparameters.
    """
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    both = [name for name, h in hyperparams.items() if id(h.raw) in held]
    if both:
        raise ValueError(
            f"expected an optimizer of the weights alone, got one that also steps {', '.join(both)}; {hint}"
        )


Setter = Callable[[Any], None]


class Outer:
    """The hyperparameters, the Adam that moves them, and the setters that receive their values.

    Args:
        hyperparams: The hyperparameters, by name.
        lr: Adam's learning rate.
        decay: Adam's first beta: the decay of the hypergradient's moving average.
    """

    def __init__(self, hyperparams: Mapping[str, BoundedHyperparam], lr: float, decay: float) -> None:
        self.hyperparams = dict(hyperparams)
        self.outside: dict[str, BoundedHyperparam] = {}
        self._setters: dict[str, Setter] = {}
        self._adam = torch.optim.Adam([{"params": []}], lr=lr, betas=(decay, 0.999))
        self._memory: dict[str, dict[str, Tensor]] = {}  # Adam's, by name

    def add(self, name: str, hyperparam: BoundedHyperparam, setter: Setter | None) -> None:
        """Add a hyperparameter outside the model, and pass its value to its setter."""
        if setter is not None:
            setter(_handed(hyperparam))
            self._setters[name] = setter
        self.outside[name] = self.hyperparams[name] = hyperparam

    def active(self) -> dict[str, BoundedHyperparam]:
        """The hyperparameters that are not frozen."""
        return {name: h for name, h in self.hyperparams.items() if h.raw.requires_grad}

    def raws(self, names: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Copies of the raw values: of those named, or of all."""
        chosen = self.hyperparams if names is None else names
        return {name: self.hyperparams[name].raw.detach().clone() for name in chosen}

    def call_setters(self) -> None:
        """Pass the current values to the setters."""
        for name, setter in self._setters.items():
            setter(_handed(self.hyperparams[name]))

    def move(self, hypergradients: Mapping[str, Tensor]) -> None:
        """Run a step of Adam on the raw values that have a hypergradient, and pass the values to the setters."""
        # By name, because loading a checkpoint with assign=True replaces the raw values by other tensors.
        raws = {name: self.hyperparams[name].raw for name in hypergradients}
        self._adam.param_groups[0]["params"] = list(raws.values())
        for name, raw in raws.items():
            raw.grad = hypergradients[name]
            self._adam.state[raw] = self._memory.setdefault(name, {})
        self._adam.step()
        self.call_setters()

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Run a block. If it raises, restore values, Adam's memory and gradients, and call the setters again."""
        raws, memory = self.raws(), copy.deepcopy(self._memory)
        gradients = {name: h.raw.grad for name, h in self.hyperparams.items()}
        try:
            yield
        except BaseException:
            self._memory = memory
            self._put(raws)
            for name, hyperparam in self.hyperparams.items():
                hyperparam.raw.grad = gradients[name]
            for name, setter in self._setters.items():
                with suppress(Exception):  # the first error is already being raised
                    setter(_handed(self.hyperparams[name]))
            raise

    def state_dict(self) -> dict[str, Any]:
        """Return raw values, the intervals that they are for, and Adam's averages, by name."""
        intervals = {name: h.state_dict()["interval"].clone() for name, h in self.hyperparams.items()}
        return {"hyperparams": self.raws(), "intervals": intervals, "adam": copy.deepcopy(self._memory)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load Adam's averages and the values outside the model, which no other checkpoint holds.

        Raises:
            ValueError: If they are of other hyperparameters, or of other bounds; nothing has changed then.
        """
        saved = {name: tuple(raw.shape) for name, raw in state["hyperparams"].items()}
        here = {name: tuple(h.raw.shape) for name, h in self.hyperparams.items()}
        if saved != here:
            raise ValueError(
                f"expected the state of hyperparameters {here}, got that of {saved}; make the same model, and "
                "add the same hyperparameters before loading"
            )
        for name, saved_interval in state.get("intervals", {}).items():  # older states have none
            present = self.hyperparams[name].state_dict()["interval"]
            if not torch.equal(saved_interval.to(present), present):
                raise ValueError(
                    f"expected a state of {name} within {_interval(present)}, got one within "
                    f"{_interval(saved_interval)}, where its raw value and Adam's averages mean something else; build "
                    "it with the bounds of then"
                )
        if not set(state["adam"]) <= set(here):
            raise ValueError(f"expected Adam's averages of {list(here)}, got those of {list(state['adam'])}")
        memory = {
            name: {
                kind: value.clone()
                if kind == "step"
                else value.detach().clone().to(self.hyperparams[name].raw)
                for kind, value in kept.items()
            }
            for name, kept in state["adam"].items()
        }
        with self.atomic():
            self._memory = memory
            self._put({name: state["hyperparams"][name] for name in self.outside})
            self.call_setters()

    @torch.no_grad()
    def _put(self, raws: Mapping[str, Tensor]) -> None:
        for name, raw in raws.items():
            self.hyperparams[name].raw.copy_(raw)


def _interval(interval: Tensor) -> str:
    low, high, log = interval.tolist()
    return f"[{low:g}, {high:g}]" + (", log=True" if log else "")


def _handed(hyperparam: BoundedHyperparam) -> Any:
    """A value in the form that a setter receives: an int, a float, or a tensor of several values."""
    value = hyperparam.value
    if value.numel() > 1:
        return value
    number = value.item()
    return round(number) if hyperparam.integer else number
