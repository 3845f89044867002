"""Modules that return to the values that they began with."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from dsptorch.functional.validate import has_values

__all__ = ["FirstValues", "is_loaded", "real_tensors"]


@contextmanager
def real_tensors() -> Iterator[None]:
    """Make tensors on the CPU and with values, also within `torch.device("meta")` and `FakeTensorMode`."""
    with _disable_current_modes(), torch.device("cpu"):
        yield


class FirstValues(nn.Module):
    """A module that says the first values of its parameters and buffers in `first_values`.

    Its constructor writes them with `set_first_values`, and `reset_parameters` writes them again. So they come where
    the module was built without memory: after `to_empty`, after FSDP's materialisation, and in HuggingFace's
    `from_pretrained`, for each key that the checkpoint lacks.
    """

    _waits = False  # whether a tensor had no memory when its first value was due

    def first_values(self) -> Mapping[str, Tensor]:
        """The first values of the module's own parameters and buffers, by name; drawn at each call if random."""
        return {}

    def reset_parameters(self) -> None:
        """Return to the first values: of parameters, buffers and hyperparameters, here and in all modules inside.

        Raises:
            ValueError: If a module inside has parameters and no `reset_parameters`, if a first value was a tensor on
                the meta device, or if a parameter is parametrized or pruned.
        """
        unknown = self.set_first_values() - self._own_tensors().keys()
        if unknown:
            raise ValueError(
                f"{type(self).__name__} has no tensor {', '.join(unknown)} of its own to reset: it is parametrized or "
                "pruned; undo that first"
            )
        _reset_children(self)

    @torch.no_grad()
    def set_first_values(self, names: Collection[str] | None = None) -> set[str]:
        """Write first values into the module's own tensors: of these names, or all. Modules inside stay.

        Returns:
            The names of the first values, also of tensors that are not there: a subclass may add them later.
        """
        own = self._own_tensors()
        with real_tensors():
            first = self.first_values()
        for name, value in first.items():
            tensor = own.get(name)
            if tensor is None or (names is not None and name not in names):
                continue
            if _is_spared(tensor) or not has_values(tensor):
                continue
            if not has_values(value):
                raise ValueError(
                    f"{type(self).__name__} has no first value for {name}: it was built from a tensor on the meta "
                    "device; build that tensor with device='cpu', or load the parameter"
                )
            tensor.copy_(_like(value, tensor))
        self._waits = not all(map(has_values, own.values()))
        return set(first)

    # transformers asks a module whether it is initialised, and tells it so after the model's _init_weights; in between
    # nobody initialises the parameters of modules that transformers does not know. What a checkpoint lacks is memory
    # that nobody has written to (version 0), and is not marked as loaded.

    @property
    def _is_hf_initialized(self) -> bool:
        return bool(self.__dict__.get("_hf_initialized"))

    @_is_hf_initialized.setter
    def _is_hf_initialized(self, value: bool) -> None:
        if value and self._waits:
            self._complete()
        self.__dict__["_hf_initialized"] = value

    @torch.no_grad()
    def _complete(self) -> None:
        """Write what a checkpoint lacks, also into what the layer has built of torch's own modules."""
        self.set_first_values([name for name, tensor in self._own_tensors().items() if _is_raw(tensor)])
        for child in self.children():
            if not isinstance(child, FirstValues) and any(map(_is_raw, child.parameters())):
                kept = [(p, p.detach().clone()) for p in child.parameters() if not _is_raw(p)]
                _reset(child)
                for parameter, value in kept:
                    parameter.copy_(value)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, metadata: Any, strict: bool, *lists: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, *lists)
        # Not strict, it may be transformers, which hands over raw memory in this way, one key at a time.
        self._waits = self._waits and not (strict and all(map(has_values, self._own_tensors().values())))

    def _own_tensors(self) -> dict[str, Tensor]:
        return {name: t for name, t in {**self._parameters, **self._buffers}.items() if t is not None}


def _reset_children(module: nn.Module) -> None:
    for child in module.children():
        # FSDP resets each module itself, before it flattens the parameters.
        if not getattr(child, "_is_fsdp_managed_module", False):
            _reset(child)


def _reset(module: nn.Module) -> None:
    if not isinstance(module, FirstValues):
        _reset_children(module)
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    if reset is not None:
        reset()
    elif module._parameters or module._buffers:
        raise ValueError(
            f"{type(module).__name__} has parameters or buffers and no reset_parameters, so its first values are not "
            "known; give it that method"
        )


def is_loaded(tensor: Tensor) -> bool:
    """Whether transformers has loaded a tensor from a checkpoint."""
    return getattr(tensor, "_is_hf_initialized", False)


def _is_raw(tensor: Tensor) -> bool:
    """Whether a tensor is memory that nobody wrote to, in a model that transformers loads."""
    return not is_loaded(tensor) and (tensor.is_inference() or tensor._version == 0)


def _is_spared(tensor: Tensor) -> bool:
    """Whether the functions of torch.nn.init leave a tensor alone, as they do while transformers completes a model."""
    if not is_loaded(tensor):
        return False
    probe = torch.zeros((), device="cpu")
    probe._is_hf_initialized = True  # type: ignore[attr-defined]
    nn.init.ones_(probe)
    return not probe.item()


def _like(value: Tensor, tensor: Tensor) -> Tensor:
    """A value as it may be copied into a tensor, which may be sharded."""
    if not hasattr(tensor, "placements"):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor  # noqa: PLC0415, brings torch.distributed

    if not isinstance(tensor, DTensor):
        return value
    return distribute_tensor(value.to(tensor.device), tensor.device_mesh, tensor.placements)
