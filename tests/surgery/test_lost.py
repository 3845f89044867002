"""A layer that something has hidden or lost since it was inserted is never left in, or left out, in silence."""

import copy
import functools

import pytest
import torch
from torch import nn

from dsptorch import FIR, fold, insert, remove, streaming
from tests.surgery.models import check_unchanged, draw, snapshot, through_pickle
from tests.tolerances import assert_close

X = draw(2, 12, 8)


def fir(_=None):
    return FIR(8, 3, init="lowpass")


def inserted():
    """Two linear layers, a filter before each, and what they were."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    before = snapshot(model, X)
    insert(model, "*", fir)
    return model, before


def enter_streaming(model):
    with streaming(model):
        pass


USES = {
    "insert": lambda model: insert(model, "1", fir, position="after"),
    "remove": remove,
    "streaming": enter_streaming,
    "fold": fold,
}


def by_wraps(module):
    inner = module.forward
    module.forward = functools.wraps(inner)(lambda *args, **kwargs: inner(*args, **kwargs))  # noqa: PLW0108


def by_partial(module):
    inner = module.forward
    module.forward = functools.update_wrapper(functools.partial(inner), inner)


def by_two(module):
    by_wraps(module)
    by_partial(module)


def check_not_left_in(wrap):
    """A layer whose place is wrapped acts, and is not removed in part."""
    model, before = inserted()
    expected, inner = model(X), model[0].forward
    wrap(model[0])
    attributes = [dict(vars(module)) for module in model.modules()]
    for where in (None, "0.dsp_before", "1.dsp_before"):
        with pytest.raises(ValueError, match="something wrapped the forward of 0 since a layer was inserted"):
            remove(model, where)
    assert [dict(vars(module)) for module in model.modules()] == attributes
    assert torch.equal(model(X), expected)
    with streaming(model):
        assert_close(torch.cat([model(chunk) for chunk in X.split(4, 1)], 1), expected)
    model[0].forward = inner
    assert remove(model) == ["0.dsp_before", "1.dsp_before"]
    check_unchanged(model, before, X)


@pytest.mark.parametrize("wrap", [by_wraps, by_partial, by_two])
def test_a_wrapped_layer_acts_but_cannot_be_removed(wrap):
    check_not_left_in(wrap)


def test_a_layer_that_is_left_in_is_caught(monkeypatch):
    monkeypatch.setattr("dsptorch.surgery.insertion.insert.check_removable", lambda model: None)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        check_not_left_in(by_wraps)


def test_a_wrapped_module_that_reads_a_mask_is_no_less_hidden():
    """It stands around the layer, and would stay when the layer goes."""
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 8, 0.0, batch_first=True), 1).eval()
    insert(model, "layers.0", fir)
    inner = model.forward
    by_wraps(model)
    with pytest.raises(ValueError, match="something wrapped the forward of the model since"):
        remove(model)
    model.forward = inner
    assert remove(model) == ["layers.0.dsp_before"]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("says", [True, False], ids=["replaced", "wrapped in silence"])
def test_a_forward_of_somebody_elses_is_refused(use, says):
    """Nothing shows whether it calls the layer."""
    model, _ = inserted()
    inner = model[0].forward
    model[0].forward = (lambda x: x) if says else (lambda x: inner(x))  # noqa: PLW0108
    with pytest.raises(
        ValueError, match="a layer was inserted at 0, but something put another forward there"
    ):
        USES[use](model)


@pytest.mark.parametrize("copied", [lambda model: model, copy.deepcopy, through_pickle])
def test_a_forward_that_was_given_back_is_seen_at_the_next_call(copied):
    model, before = inserted()
    model = copied(model)
    del model[0].forward
    with pytest.raises(RuntimeError, match="a layer was inserted at this Linear, and is lost"):
        model(X)
    for use in USES.keys() - {"remove"}:
        with pytest.raises(ValueError, match="a layer was inserted at 0, but something put"):
            USES[use](model)
    assert remove(model) == ["0.dsp_before", "1.dsp_before"]
    assert torch.equal(model(X), before["output"])


@pytest.mark.filterwarnings(
    "ignore:.*torch.ao.quantization:DeprecationWarning", "ignore:.*quantize:UserWarning"
)
def test_a_place_that_was_quantized_is_seen_at_the_next_call():
    """Another module stands there, without the layer."""
    model, before = inserted()
    quantized = torch.ao.quantization.quantize_dynamic(model, {nn.Linear})
    with pytest.raises(RuntimeError, match=r"at this Linear, and is lost: .*quantization does"):
        quantized(X)
    for use in USES.values():
        with pytest.raises(ValueError, match="a layer was inserted at 0, but something put"):
            use(quantized)
    remove(model)
    check_unchanged(model, before, X)
    quantized, layer = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}), fir()
    expected = quantized[1](quantized[0](layer(X)))
    insert(quantized, "0", lambda _: layer)
    assert torch.equal(quantized(X), expected)


def test_a_child_of_that_name_is_none_of_ours():
    model, _ = inserted()
    remove(model)
    model[0].dsp_before = nn.Identity()
    with pytest.raises(ValueError, match="there is no inserted layer"):
        remove(model)
    enter_streaming(nn.Sequential(model, fir()))


def test_compiled_code_sees_that_a_layer_is_lost():
    torch.compiler.reset()
    model, _ = inserted()
    compiled = torch.compile(model, backend="eager")
    assert_close(compiled(X), model(X))
    del model[0].forward
    with pytest.raises(RuntimeError, match="is lost"):
        compiled(X)


COPIES = {"deepcopy": copy.deepcopy, "fold": fold}


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("wrap", [by_wraps, by_two])
def test_a_copy_does_not_run_with_the_parameters_of_the_original(wrap, copied):
    """A function is not copied with the module whose forward it wraps."""
    model, _ = inserted()
    wrap(model[0])
    other = COPIES[copied](model)
    with pytest.raises(RuntimeError, match="a copy whose forward is that of the original"):
        other(X)
    assert model(X).any()


@pytest.mark.parametrize("copied", COPIES)
def test_a_partial_is_copied(copied):
    model, _ = inserted()
    by_partial(model[0])
    other, expected = COPIES[copied](model), model(X)
    for parameter in model.parameters():
        parameter.data.zero_()
    assert_close(other(X), expected)


def test_a_replica_does_not_run_with_the_parameters_of_the_original():
    """nn.DataParallel makes replicas by this method, and needs GPUs otherwise."""
    model, _ = inserted()
    replica = model[0]._replicate_for_data_parallel()
    with pytest.raises(RuntimeError, match="use DistributedDataParallel"):
        replica(X)
    assert model(X).any()
