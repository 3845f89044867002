"""Initial second-order sections of a layer, checked. They have values even if the layer is on the meta device."""

from typing import Any

import torch
from torch import Tensor

from dsptorch.functional.lfilter import pole_radius
from dsptorch.functional.validate import describe, has_values
from dsptorch.hyperparams import real_tensors

__all__ = ["LONGEST", "first_sections", "identity_sections"]

LONGEST = 512.0
"""Samples: of two equal poles further out, rounding to float32 could bring one to the unit circle."""


def identity_sections(sections: int, d_model: int) -> Tensor:
    """Return sections that pass the signal unchanged, (sections, 6, d_model)."""
    with real_tensors():
        section = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.0], dtype=torch.float64)
        return section[:, None].expand(sections, 6, d_model)


def first_sections(sos: Any, d_model: int, max_half_life: float) -> Tensor:
    """Check the initial sections, and return them as (sections, 6, d_model)."""
    with real_tensors():
        return _checked(sos, d_model, max_half_life)


def _checked(sos: Any, d_model: int, max_half_life: float) -> Tensor:
    if isinstance(sos, Tensor) and not has_values(sos):
        raise ValueError("sos has no values, being on the meta device; make it with device='cpu'")
    if isinstance(sos, int) and not isinstance(sos, bool):
        if sos < 1:
            raise ValueError(f"sos must be at least 1 section, got {sos}")
        return identity_sections(sos, d_model)
    try:
        with real_tensors():
            first = torch.as_tensor(sos).detach().cpu().double()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"sos must be a number of sections, or an array of them, got {describe(sos)}"
        ) from error
    if first.dim() == 2:
        first = first.unsqueeze(-1).expand(-1, -1, d_model)
    if first.dim() != 3 or first.shape[1:] != (6, d_model) or not len(first):
        raise ValueError(
            f"sos must be of shape (sections, 6) or (sections, 6, {d_model}), got {tuple(torch.as_tensor(sos).shape)}; "
            "scipy.signal.tf2sos makes sections of b and a"
        )
    with real_tensors():
        _check_first(first, max_half_life)
    return first


def _check_first(first: Tensor, max_half_life: float) -> None:
    if not torch.isfinite(first).all() or not (first[:, 3] == 1).all():
        raise ValueError("sos must be finite, and sos[:, 3] must be 1; divide each section by it")
    radius = pole_radius(first[:, 4], first[:, 5]).max().item()
    if radius >= 1:
        raise ValueError(
            f"sos must be stable, with its poles inside the unit circle, got one at radius {radius:.6g}"
        )
    if radius > 2 ** (-1 / max_half_life):
        half_life = -1 / torch.log2(torch.tensor(radius, dtype=torch.float64)).item()
        raise ValueError(
            f"sos must fade to half within max_half_life={max_half_life:g} samples, got a pole of {half_life:.1f} "
            f"samples; raise max_half_life (up to {LONGEST:g}), or move the pole inside"
        )
