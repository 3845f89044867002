"""Modules that can be reset to their initial values."""

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
    """Create tensors on the CPU with values, even inside `torch.device("meta")` and `FakeTensorMode`."""
    with _disable_current_modes(), torch.device("cpu"):
        yield


class FirstValues(nn.Module):
    """Base class of modules that return the initial values of their parameters and buffers from `first_values`.

    The constructor writes them with `set_first_values`, and `reset_parameters` writes them again. This also initialises
    modules that were built without memory: after `to_empty`, after FSDP's materialisation, and in HuggingFace's
    `from_pretrained`, for each key that the checkpoint lacks.
    """

    _waits = False  # whether a tensor had no memory when its initial value was to be written

    def first_values(self) -> Mapping[str, Tensor]:
        """Return the initial values of the module's own parameters and buffers by name; random ones are drawn anew."""
        return {}

    def reset_parameters(self) -> None:
        """Reset parameters, buffers and hyperparameters to their initial values, in this module and all its submodules.

        Raises:
            ValueError: If a submodule has parameters and no `reset_parameters`, an initial value was a tensor on the
                meta device, or a parameter is parametrized or pruned.
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
        """Write initial values into the module's own tensors (by name, or all). Submodules do not change.

        Returns:
            The names of all initial values, including those of tensors that a subclass adds later.
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

    # transformers reads this flag of a module, and sets it after the model's _init_weights. In between, nothing
    # initialises the parameters of modules unknown to transformers. A tensor that the checkpoint lacks is memory that
    # was never written (version 0) and is not marked as loaded.

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
        """Write the values that a checkpoint lacks, also in torch's own modules inside the layer."""
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
        # If not strict, the caller may be transformers, which passes uninitialised memory, one key at a time.
        self._waits = self._waits and not (strict and all(map(has_values, self._own_tensors().values())))

    def _own_tensors(self) -> dict[str, Tensor]:
        return {name: t for name, t in {**self._parameters, **self._buffers}.items() if t is not None}


def _reset_children(module: nn.Module) -> None:
    for child in module.children():
        # FSDP resets each module by itself, before it flattens the parameters.
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
    """Whether a tensor is uninitialised memory in a model that transformers is loading."""
    return not is_loaded(tensor) and (tensor.is_inference() or tensor._version == 0)


def _is_spared(tensor: Tensor) -> bool:
    """Whether the functions of torch.nn.init skip a tensor, as they do while transformers completes a model."""
    if not is_loaded(tensor):
        return False
    probe = torch.zeros((), device="cpu")
    probe._is_hf_initialized = True  # type: ignore[attr-defined]
    nn.init.ones_(probe)
    return not probe.item()


def _like(value: Tensor, tensor: Tensor) -> Tensor:
    """Convert a value so that it can be copied into a tensor, which may be sharded."""
    if not hasattr(tensor, "placements"):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor  # noqa: PLC0415, brings torch.distributed

    if not isinstance(tensor, DTensor):
        return value
    return distribute_tensor(value.to(tensor.device), tensor.device_mesh, tensor.placements)
