"""`check_layer` and `contract_tests` find in a layer what the single checks find, and name it."""

import copy

import pytest
import torch

from dsptorch import FIR, Blend, Delay, LFORouting, Multirate
from dsptorch.testing import check_layer, contract_tests
from dsptorch.testing.contract import CONTRACT
from tests.layers.table import LAYERS, WIDTH
from tests.testing.broken_layers import (
    ForgetsShortChunks,
    GraphBreak,
    KeepsALambda,
    PositionOfTheFirstRow,
    PositionRestarts,
    UnusedParameter,
)

SLOW = {"compiles", "exports"}  # these run for one layer of each kind, see tests/layers/test_contract.py


class SaysLess(Multirate):
    receptive_field = 5


class SaysNoPeriod(Multirate):
    period = 1


class SaysItIsCausal(FIR):
    lookahead = 0
    receptive_field = 9

    def step(self, x, state=None):
        return super().step(x, state)


class KnowsTheLength(FIR):
    def forward(self, x, segment_ids=None):
        return super().forward(x, segment_ids) / max(1, x.shape[1])


class FailsOnNothing(FIR):
    def process(self, x, memory, timeline):
        x.max()
        return super().process(x, memory, timeline)


class IgnoresSegments(FIR):
    def process(self, x, memory, timeline):
        return super().process(x, memory, timeline._replace(segments=None))


class GivesBackItsInput(Delay):
    def forward(self, x, segment_ids=None):
        return x


class GivesAView(FIR):
    def process(self, x, memory, timeline):
        y, memory = super().process(x, memory, timeline)
        return _View.apply(y), memory


class _View(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.cat([x, x], 1)[:, : x.shape[1]]

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class KeepsTheDtypeOfItsState(FIR):
    def process(self, x, memory, timeline):
        y, kept = super().process(x, memory, timeline)
        return (y, kept) if memory is None else (y.to(memory.dtype), kept.to(memory.dtype))


class RefusesOtherDtypes(FIR):
    def process(self, x, memory, timeline):
        return torch.nn.functional.linear(x, self.weight.new_ones(WIDTH, WIDTH)), super().process(
            x, memory, timeline
        )[1]


class Scaled(FIR):
    def __init__(self, *args):
        super().__init__(*args)
        self.gain = torch.nn.Parameter(torch.ones(1))

    def process(self, x, memory, timeline):
        y, memory = super().process(x, memory, timeline)
        return y * self.gain.to(y.dtype), memory


class WrongDtype(FIR):
    def process(self, x, memory, timeline):
        y, memory = super().process(x, memory, timeline)
        return y.double(), memory


class WrongBackward(FIR):
    def process(self, x, memory, timeline):
        y, memory = super().process(x, memory, timeline)
        return y + (y - y.detach()) * x.detach(), memory


class Plain(FIR):
    lookahead = -1


class BadlyNumbered(FIR):
    def step(self, x, state=None, segment_ids=None):
        y, state = super().step(x, state, segment_ids)
        return y, state._replace(position=state.position.float())


class Streams(Multirate):
    """Looks ahead and runs in chunks all the same."""

    def step(self, x, state=None):
        return x, state


def branch(x):
    return x if x.mean() > 0 else 2 * x


class BranchesOnData(FIR):
    def process(self, x, memory, timeline):
        return branch(x), super().process(x, memory, timeline)[1]


BROKEN = {
    "metadata": lambda: Plain(WIDTH),
    "shapes": lambda: FailsOnNothing(WIDTH),
    "lookahead": lambda: SaysItIsCausal(WIDTH, 5, init="lowpass", causal=False),
    "receptive_field": lambda: SaysLess(WIDTH),
    "period": lambda: SaysNoPeriod(WIDTH),
    "length": lambda: KnowsTheLength(WIDTH),
    "streaming": lambda: ForgetsShortChunks(WIDTH, init="lowpass"),
    "segments": lambda: IgnoresSegments(WIDTH, init="lowpass"),
    "state": lambda: BadlyNumbered(WIDTH),
    "mutation": lambda: GivesBackItsInput(WIDTH, 0),
    "gradients": lambda: WrongBackward(WIDTH),
    "dtypes": lambda: WrongDtype(WIDTH),
    "serializes": lambda: KeepsALambda(WIDTH),
    "resets": lambda: Scaled(WIDTH),
    "compiles": lambda: GraphBreak(WIDTH),
    "exports": lambda: BranchesOnData(WIDTH),
}


@pytest.mark.parametrize("name", CONTRACT)
def test_each_part_of_the_contract_is_checked(name):
    with pytest.raises(AssertionError, match=rf"breaks \d+ of 16 promises:(\n|.)*- {name}: "):
        check_layer(BROKEN[name](), skip=CONTRACT.keys() - {name})


@pytest.mark.parametrize(
    "layer",
    [
        lambda: PositionRestarts(WIDTH),
        lambda: PositionOfTheFirstRow(WIDTH, 2),
        lambda: Blend(ForgetsShortChunks(WIDTH, init="lowpass")),  # hidden by a gain of 0
        lambda: Streams(WIDTH, causal=False),
    ],
)
def test_bugs_of_streaming(layer):
    with pytest.raises(AssertionError, match=r"breaks \d of 16 promises:\n- streaming: "):
        check_layer(layer(), skip=SLOW | {"mutation"})


@pytest.mark.parametrize(
    ("layer", "name", "message"),
    [
        (GivesAView, "mutation", "the output cannot be changed in place: .*view"),
        (
            KeepsTheDtypeOfItsState,
            "dtypes",
            r"a chunk in torch.bfloat16 after one in torch.float32 gives",
        ),
        (RefusesOtherDtypes, "dtypes", r"bfloat16, to a layer in float32, fails: RuntimeError"),
        (Scaled, "resets", "reset_parameters leaves gain as it was; give its first value in first_values"),
    ],
)
def test_bugs_that_the_rest_of_a_check_does_not_see(layer, name, message):
    with pytest.raises(AssertionError, match=rf"- {name}: {message}"):
        check_layer(layer(WIDTH), skip=CONTRACT.keys() - {name})


def test_all_that_is_broken_is_said():
    with pytest.raises(
        AssertionError,
        match=r"breaks 3 of 16 promises:\n- gradients: no grad.*\n- serializes: (\n|.)*\n- resets: ",
    ):
        check_layer(type("Both", (UnusedParameter, KeepsALambda), {})(WIDTH), skip=SLOW)


def test_says_what_does_not_apply():
    verdicts = check_layer(LFORouting(WIDTH, causal=False), skip=SLOW)
    assert list(verdicts) == list(CONTRACT)
    assert verdicts["period"].endswith("period is None")
    assert verdicts["state"].startswith("the layer looks ahead")
    assert verdicts["compiles"] == "left out"
    assert {verdicts[name] for name in CONTRACT.keys() - SLOW - {"period", "state"}} == {"ok"}


def test_leaves_the_layer_as_it_was():
    layer = Multirate(WIDTH).train()
    before = copy.deepcopy(layer.state_dict())
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    check_layer(layer, skip=SLOW)
    assert torch.equal(torch.rand(1), expected)
    assert layer.training
    assert next(layer.parameters()).dtype == torch.float32
    for name, value in layer.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.grad is None for p in layer.parameters())


def test_refuses():
    with pytest.raises(TypeError, match=r"expected a dsptorch.Layer, got Linear; the single checks"):
        check_layer(torch.nn.Linear(2, 2))
    for call in (lambda **kw: check_layer(FIR(2), **kw), lambda **kw: contract_tests(lambda: FIR(2), **kw)):
        with pytest.raises(ValueError, match=r"skip must name some of metadata, .* got causal"):
            call(skip=["causal"])


TestInOneLine = contract_tests(LAYERS["FIR lowpass"], skip=SLOW)


class TestAsABase(contract_tests(LAYERS["Delay"], skip=SLOW)):
    def test_more(self):
        assert (
            self.test_period.__doc__ == "A shift of the input by `period` shifts the output by period * rate."
        )


def test_the_class_has_a_test_for_each_check():
    tests = {name for name in dir(contract_tests(lambda: FIR(WIDTH))) if name.startswith("test_")}
    assert tests == {f"test_{name}" for name in CONTRACT}
    with pytest.raises(AssertionError, match="forgets"):
        contract_tests(BROKEN["streaming"])().test_streaming()
    with pytest.raises(pytest.skip.Exception, match="period is None"):
        contract_tests(LAYERS["LFORouting"])().test_period()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    "name", ["FIR lowpass", "Multirate levels", "LFORouting", "ChannelBottleneck", "Blend"]
)
def test_works_on_a_gpu(name):
    check_layer(LAYERS[name](device="cuda"), factory=lambda: LAYERS[name](device="cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", CONTRACT)
def test_catches_on_a_gpu(name):
    with pytest.raises(AssertionError, match=rf"- {name}: "):
        check_layer(BROKEN[name]().cuda(), skip=CONTRACT.keys() - {name})
