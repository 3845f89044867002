"""The gallery of broken promises: each breaks one thing, and names the check that must catch it and what it says."""

import torch
import torch.nn.functional as F
from torch import nn

from dsptorch import ChannelBottleneck, LFORouting, Pointwise
from dsptorch.testing import (
    assert_compiles,
    assert_dtypes,
    assert_exports,
    assert_gradients,
    assert_length_invariant,
    assert_no_host_sync,
    assert_no_mutation,
    assert_packs,
    assert_receptive_field,
    assert_resets,
    assert_serializes,
    assert_shift_covariant,
    assert_streaming_equals_batch,
)
from tests.testing.broken_layers import (
    WIDTH,
    BufferNotPersistent,
    CountsOn,
    DetachedParameter,
    DetachedState,
    DrawnOutsideTheStateDict,
    ForgetsShortChunks,
    GraphBreak,
    KeepsALambda,
    KeepsHistory,
    KeepsItsSignal,
    MultipliesByAMask,
    OtherWhenCompiled,
    PositionInTheDtype,
    PositionIsANumber,
    PositionOfTheFirstRow,
    PositionRestarts,
    ReachesIntoItsNeighbour,
    ReadsAValue,
    ReadsItsPosition,
    RefusesEmptyChunks,
    Registered,
    Registers,
    RMSNorm,
    SharesItsWeight,
    UnusedParameter,
    Upcasts,
    WritesIntoItsInput,
    WritesIntoItsState,
    WritesItsLengthDown,
    _OnceDifferentiable,
    _WrongBackward,
    lowpass,
    multirate,
    one_pole,
    sampled,
)
from tests.testing.bug import Bug, example, on
from tests.testing.gallery_banks import BANKS
from tests.testing.gallery_models import MODELS
from tests.testing.gallery_modulation import MODULATION
from tests.testing.gallery_numbers import NUMBERS
from tests.testing.gallery_rates import RATES
from tests.testing.gallery_recurrences import RECURRENCES
from tests.testing.gallery_wavelets import WAVELETS


def resets(module):
    assert_resets(module)


BUGS: dict[str, Bug] = {
    "a state that forgets history for short chunks": Bug(
        on(assert_streaming_equals_batch),
        lambda: ForgetsShortChunks(WIDTH, 4, init="lowpass"),
        lowpass,
        "forgets",
    ),
    "a position that restarts with each chunk": Bug(
        on(assert_streaming_equals_batch),
        lambda: PositionRestarts(WIDTH, 3, dtype=torch.float64),
        multirate,
        r"in chunk \d+, its sample",
    ),
    "one position for all rows": Bug(
        on(assert_streaming_equals_batch),
        lambda: PositionOfTheFirstRow(WIDTH, 2).double(),
        lambda: LFORouting(WIDTH, 2).double(),
        r"rows at the positions \[0, 8, 12\]",
    ),
    "a position that is a Python number": Bug(
        on(assert_streaming_equals_batch), PositionIsANumber, lowpass, r"the state.*position of one row is \d"
    ),
    "a state without a gradient": Bug(
        on(assert_streaming_equals_batch),
        lambda: DetachedState(WIDTH, 4, init="lowpass", dtype=torch.float64),
        lowpass,
        "the gradient in the input differs",
    ),
    "a state that is written into": Bug(
        on(assert_streaming_equals_batch),
        lambda: WritesIntoItsState(WIDTH, 4, init="lowpass", dtype=torch.float64),
        lowpass,
        r"changed its state\.memory in place",
    ),
    "an empty chunk that fails": Bug(
        on(assert_streaming_equals_batch), lambda: RefusesEmptyChunks(WIDTH), lowpass, "0 samples long"
    ),
    "a filter that reaches into its neighbour": Bug(
        on(assert_packs), lambda: ReachesIntoItsNeighbour(WIDTH, 4, init="lowpass"), lowpass, "reaches into"
    ),
    "a position that counts on in the next signal": Bug(
        on(assert_packs),
        lambda: CountsOn(WIDTH, 2).double(),
        lambda: LFORouting(WIDTH, 2).double(),
        "a position that goes on",
    ),
    "a history that outlives its signal": Bug(
        on(assert_packs),
        lambda: KeepsHistory(WIDTH, 4, init="lowpass", dtype=torch.float64),
        lowpass,
        "in chunks of",
    ),
    "padding that reaches a gradient": Bug(
        on(assert_packs),
        lambda: MultipliesByAMask(WIDTH, WIDTH).double(),
        lambda: Pointwise(nn.Linear(WIDTH, WIDTH), WIDTH).double(),
        "gradient in parameter",
    ),
    "a mutated argument": Bug(
        on(assert_no_mutation),
        WritesIntoItsInput,
        multirate,
        "argument 0 was changed in place at row 0, time 0",
    ),
    "an output that is the input": Bug(
        on(assert_no_mutation, views=False), nn.Identity, multirate, "shares memory"
    ),
    "a wrong declared period": Bug(
        lambda model: assert_shift_covariant(model, example(), 4),
        lambda: sampled(3),
        lambda: sampled(4),
        r"shifted by 4 samples.* \(phase \d of 4\)",
    ),
    "an absolute position": Bug(
        on(assert_shift_covariant, 1),
        lambda: lambda x: x * torch.arange(x.shape[1]).unsqueeze(-1),
        lambda: torch.tanh,
        "a position that enters",
    ),
    "knowing the length": Bug(
        on(assert_length_invariant), lambda: lambda x: x / x.shape[1], multirate, "of the first 1 of 24"
    ),
    "padding to a multiple of 4 at the front": Bug(
        on(assert_length_invariant),
        lambda: lambda x: sampled(4)(F.pad(x, (0, 0, -x.shape[1] % 4, 0)))[:, -x.shape[1] % 4 :],
        lambda: sampled(4),
        "knows the length",
    ),
    "a receptive field that is too short": Bug(
        on(assert_receptive_field, 5), lambda: one_pole(0.5), lowpass, "more than 4 samples earlier"
    ),
    "a lookahead inside the receptive field": Bug(
        on(assert_receptive_field, 5), lambda: lowpass(causal=False), lowpass, "more than 0 samples later"
    ),
    **NUMBERS,
    **RATES,
    **RECURRENCES,
    **BANKS,
    **WAVELETS,
    **MODULATION,
    **MODELS,
    "a wrong backward": Bug(
        on(assert_gradients),
        lambda: _WrongBackward.apply,
        lambda: torch.tanh,
        "the gradient in the input is wrong",
    ),
    "a parameter that is detached": Bug(
        on(assert_gradients), DetachedParameter, lowpass, "the gradient in parameter 'gain' is wrong"
    ),
    "a parameter that is not used": Bug(
        on(assert_gradients),
        lambda: UnusedParameter(WIDTH),
        lowpass,
        "no gradient reaches parameter 'unused'",
    ),
    "no gradient at all": Bug(
        on(assert_gradients), lambda: lambda x: x.detach().sin(), lambda: torch.sin, "no gradient at all"
    ),
    "a backward without a derivative of its own": Bug(
        on(assert_gradients), lambda: _OnceDifferentiable.apply, lambda: lambda x: x**3, "second derivative"
    ),
    "a layer that cannot be pickled": Bug(
        on(assert_serializes), lambda: KeepsALambda(WIDTH), lowpass, "pickle fails"
    ),
    "a layer that cannot be copied": Bug(
        on(assert_serializes), lambda: KeepsItsSignal(WIDTH), lowpass, "deepcopy fails"
    ),
    "a copy that shares its weight": Bug(
        on(assert_serializes),
        lambda: SharesItsWeight(WIDTH, dtype=torch.float64),
        lowpass,
        "shares the parameter 'weight'",
    ),
    "numbers outside the state dict": Bug(
        lambda model: assert_serializes(model, example(), factory=type(model)),
        DrawnOutsideTheStateDict,
        Registered,
        "gives other numbers",
    ),
    "a buffer that is not persistent": Bug(
        lambda model: assert_serializes(model, example(), factory=type(model)),
        BufferNotPersistent,
        Registered,
        "gives other numbers",
    ),
    "a graph break": Bug(
        on(assert_compiles, backend="aot_eager"),
        lambda: GraphBreak(WIDTH, dtype=torch.float64),
        lowpass,
        "does not compile into one graph by aot_eager",
    ),
    "another function when compiled": Bug(
        on(assert_compiles, backend="aot_eager"),
        OtherWhenCompiled,
        lowpass,
        "the output is not that of eager",
    ),
    "a graph for each length": Bug(
        on(assert_compiles, backend="aot_eager", dynamic=True),
        lambda: one_pole(0.5),  # a loop over the time is unrolled
        lowpass,
        "compiles anew",
    ),
    "a length that is written down": Bug(
        on(assert_exports, dynamic=True),
        lambda: WritesItsLengthDown(WIDTH, dtype=torch.float64),
        lowpass,
        "does not export",
    ),
    "a branch on the data": Bug(on(assert_exports), ReadsAValue, lowpass, "does not export"),
    "a position that is read back": Bug(
        lambda layer: assert_no_host_sync(layer.step, example(), layer.step(example())[1]),
        lambda: ReadsItsPosition(WIDTH, 2).double(),
        lambda: LFORouting(WIDTH, 2).double(),
        r"_local_scalar_dense, at .*broken_layers\.py",
    ),
    "an index by a mask": Bug(
        on(assert_no_host_sync), lambda: lambda x: x[x > 0].sum(), lambda: torch.relu, "index"
    ),
    "float16 that overflows": Bug(
        on(assert_dtypes),
        RMSNorm,
        lambda: RMSNorm(wide=True),
        r"torch.float16, on a signal 1000 times as loud",
    ),
    "an output in another dtype": Bug(
        on(assert_dtypes), Upcasts, lowpass, "in torch.bfloat16 the output is torch.float32"
    ),
    "a parameter without a first value": Bug(
        resets, Registers, lowpass, "reset_parameters leaves later as it was"
    ),
    "a buffer without a first value": Bug(
        resets, lambda: Registers(buffer=True), lowpass, "reset_parameters leaves later as it was"
    ),
    "a position in bfloat16": Bug(
        lambda model: assert_dtypes(model, torch.ones(1, 400, 1)),
        PositionInTheDtype,
        lambda: ChannelBottleneck(1),
        "in torch.bfloat16 the output is further",
    ),
}
