"""Public checks of layers and models, for this library's layers and for your own."""

from dsptorch.testing.bounded import assert_bounded
from dsptorch.testing.causality import assert_causal, max_lookahead
from dsptorch.testing.compilation import assert_compiles
from dsptorch.testing.dtypes import assert_dtypes
from dsptorch.testing.energy import assert_energy_preserving
from dsptorch.testing.export import assert_exports
from dsptorch.testing.gradients import assert_gradients
from dsptorch.testing.host_sync import assert_no_host_sync
from dsptorch.testing.identity import assert_identity
from dsptorch.testing.influence import influence_matrix
from dsptorch.testing.layer import check_layer, contract_tests
from dsptorch.testing.length import assert_length_invariant
from dsptorch.testing.linearity import assert_linear
from dsptorch.testing.mutation import assert_no_mutation
from dsptorch.testing.packing import assert_packs
from dsptorch.testing.receptive_field import assert_receptive_field
from dsptorch.testing.reconstruction import assert_perfect_reconstruction
from dsptorch.testing.resets import assert_resets
from dsptorch.testing.serialization import assert_serializes
from dsptorch.testing.streaming import assert_streaming_equals_batch
from dsptorch.testing.time_invariance import assert_shift_covariant
from dsptorch.testing.tolerances import assert_close, assert_same
from dsptorch.testing.unit_dc import assert_unit_dc

__all__ = [
    "assert_bounded",
    "assert_causal",
    "assert_close",
    "assert_compiles",
    "assert_dtypes",
    "assert_energy_preserving",
    "assert_exports",
    "assert_gradients",
    "assert_identity",
    "assert_length_invariant",
    "assert_linear",
    "assert_no_host_sync",
    "assert_no_mutation",
    "assert_packs",
    "assert_perfect_reconstruction",
    "assert_receptive_field",
    "assert_resets",
    "assert_same",
    "assert_serializes",
    "assert_shift_covariant",
    "assert_streaming_equals_batch",
    "assert_unit_dc",
    "check_layer",
    "contract_tests",
    "influence_matrix",
    "max_lookahead",
]
