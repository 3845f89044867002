"""Hypothesis strategies for signals, filters and layers, that shrink to something a person can read.

Needs the extra: `pip install 'dsptorch[testing]'`.
"""

try:
    import hypothesis as _hypothesis  # noqa: F401
except ImportError as error:
    raise ImportError(
        "dsptorch.testing.strategies needs hypothesis; pip install 'dsptorch[testing]'"
    ) from error

from dsptorch.testing.strategies.banks import (
    angles,
    banks,
    cosine_banks,
    dft_banks,
    lattice_banks,
    paraunitary_banks,
)
from dsptorch.testing.strategies.filters import fir_taps, paraunitary_filters, stable_filters, unit_dc_taps
from dsptorch.testing.strategies.layers import hyperparameters, layers, layers_with_inputs
from dsptorch.testing.strategies.modulation import lfos, modulated_layers
from dsptorch.testing.strategies.recurrences import recursive_layers, stable_poles, stable_sections
from dsptorch.testing.strategies.signals import chunkings, dtypes, shapes, signals

__all__ = [
    "angles",
    "banks",
    "chunkings",
    "cosine_banks",
    "dft_banks",
    "dtypes",
    "fir_taps",
    "hyperparameters",
    "lattice_banks",
    "layers",
    "layers_with_inputs",
    "lfos",
    "modulated_layers",
    "paraunitary_banks",
    "paraunitary_filters",
    "recursive_layers",
    "shapes",
    "signals",
    "stable_filters",
    "stable_poles",
    "stable_sections",
    "unit_dc_taps",
]
