"""Places at which an insertion would not act, or act twice, are refused; where it is accepted, it acts."""

import pytest
import torch
from torch import nn

from dsptorch import FIR, ChannelBottleneck, Multirate, Pointwise, insert, remove, streaming
from tests.surgery.models import draw, small

X = draw(2, 6, 8)


def lowpass(_):
    return FIR(8, 3, init="lowpass")


def encoder(batch_first, nested=True):
    block = nn.TransformerEncoderLayer(8, 2, 8, 0.0, batch_first=batch_first)
    return nn.TransformerEncoder(block, 2, enable_nested_tensor=nested and batch_first).eval()


def decoder():
    return nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16), 1, nn.LayerNorm(8))


def linear():
    return nn.Linear(8, 8)


class Nullary(nn.Module):
    def forward(self):
        return X


def taken():
    model = linear()
    model.dsp_before = nn.Identity()
    return model


SECOND = "channels come second; give layout='bct'"
COMPILED = "0 is a OptimizedModule.*compile that"
PLACES = [
    ([nn.Sequential(linear())], "0", "Sequential.*member"),
    ([nn.ModuleList([linear()])], "0", "ModuleList.*member"),
    ([nn.ModuleDict({"a": linear()})], "0", "ModuleDict.*member"),
    ([nn.MultiheadAttention(8, 2)], nn.Linear, "0.out_proj.*MultiheadAttention"),
    ([ChannelBottleneck(8)], nn.Linear, "0.down.*dsptorch layer 0"),
    (ChannelBottleneck(8), "down", "dsptorch layer that the model is"),
    ([nn.Embedding(9, 8)], "0", "0 takes ids.*position='after'"),
    ([nn.Conv1d(8, 8, 1)], "0", SECOND),
    ([nn.GroupNorm(1, 8)], "0", SECOND),
    ([nn.AdaptiveAvgPool2d(1)], "0", SECOND),
    ([nn.GRU(8, 8)], "0", "0 is a GRU with batch_first=False.*layout='tbd'"),
    (encoder(False), "layers.0", "layers.0 holds a MultiheadAttention with batch_first=False"),
    ([nn.TransformerEncoderLayer(8, 2)], "0.norm1", "0.norm1 stands beside a MultiheadAttention"),
    ([linear(), nn.LSTM(8, 8)], "0", "0 stands beside a LSTM"),
    (decoder(), "norm", "norm stands beside a TransformerDecoderLayer with batch_first=False"),
    (nn.DataParallel(linear()), "module", "the model is a DataParallel.*insert into the plain model"),
    ([nn.DataParallel(linear())], "0", "0 is a DataParallel.*insert into the plain model"),
    (torch.compile(nn.Sequential(linear())), "_orig_mod.0", "the model is a OptimizedModule.*compile that"),
    ([torch.compile(linear())], "0", COMPILED),
    ([torch.compile(linear())], "0._orig_mod", COMPILED),
    ([linear(), taken()], "*", "1 has something called dsp_before, where the layer would go: rename it"),
    ([linear(), Nullary()], "*", "1 is a Nullary whose forward takes no argument"),
    (encoder(True), "layers.*.self_attn", r"layers.0.self_attn.*the model.use_nested_tensor = False"),
]


def attributes(model):
    return [(name, dict(vars(module)), list(module._modules)) for name, module in model.named_modules()]


@pytest.mark.parametrize(("model", "where", "message"), PLACES)
def test_places_that_would_not_act_are_refused(model, where, message):
    model = nn.Sequential(*model) if isinstance(model, list) else model
    before = attributes(model)
    with pytest.raises(TypeError if "takes no argument" in message else ValueError, match=message):
        insert(model, where, lowpass)
    assert attributes(model) == before


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_model_is_refused():
    model = torch.jit.trace(nn.Sequential(linear()), X)
    message = "is a ScriptModule, which cannot be changed; insert into the Python model"
    with pytest.raises(ValueError, match=message):
        insert(model, "0", lowpass)


@pytest.fixture
def _one_process(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("_one_process")
def test_models_of_many_processes_are_refused():
    from torch.distributed.fsdp import fully_shard

    parallel = nn.parallel.DistributedDataParallel(nn.Sequential(linear()))
    with pytest.raises(ValueError, match=r"the model is a DistributedDataParallel.*and wrap that"):
        insert(parallel, "module.0", lowpass)
    sharded = nn.Sequential(linear())
    fully_shard(sharded, mesh=torch.distributed.device_mesh.init_device_mesh("cpu", (1,)))
    with pytest.raises(ValueError, match=r"the model is a FSDPModule.*and shard that"):
        insert(sharded, "0", lowpass)


def test_a_clear_layout_beside_one_that_is_not():
    """What does not touch the attention is no reason to refuse, however far up the model both are."""
    attention = small(lambda self: None, attention=nn.MultiheadAttention(8, 2), norm=nn.LayerNorm(8))
    model = small(lambda self: None, a=nn.ModuleDict({"inner": nn.Sequential(linear())}), c=attention)
    insert(model, "a.inner.0", lowpass)
    with pytest.raises(ValueError, match=r"c\.norm stands beside"):
        insert(model, "c.norm", lowpass)


def test_compiled_in_place_it_acts():
    """Not a wrapper: the model sees its own modules, and compiles anew."""
    torch.compiler.reset()
    model, layer = nn.Sequential(linear()), lowpass(None)
    model.compile(backend="eager")
    plain = model(X)
    insert(model, "0", lambda _: layer)
    torch.testing.assert_close(model(X), nn.functional.linear(layer(X), model[0].weight, model[0].bias))
    remove(model)
    assert torch.equal(model(X), plain)


# PyTorch's fast path for transformers, in eval and without gradients, must not go past a layer

PADDING = torch.tensor([[False] * 6, [False] * 4 + [True] * 2])


@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize("place", ["layers.*", "layers.*.linear1", "layers.1.norm2"])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_acts_on_the_nested_tensors_of_the_fast_path(place, position):
    model = encoder(True)
    insert(model, place, lowpass, position=position)
    expected = model(X, src_key_padding_mask=PADDING)  # with gradients there is no fast path
    with torch.no_grad():
        y = model(X, src_key_padding_mask=PADDING)
    torch.testing.assert_close(y[~PADDING], expected[~PADDING])
    torch.testing.assert_close(y[1, :4], model(X[1:, :4])[0])


@pytest.mark.parametrize("place", ["layers.*.linear1", "layers.*.norm1", "layers.*", "layers.*.self_attn"])
def test_acts_in_eval_without_gradients_too(place):
    model = encoder(True, nested=False)
    plain = model(X).detach()
    insert(model, place, lowpass)
    expected = model(X).detach()
    with torch.no_grad():
        torch.testing.assert_close(model(X), expected)
        assert not torch.allclose(model(X), plain, atol=1e-3)
        model(X, src_key_padding_mask=PADDING)
    remove(model)
    assert torch.equal(model(X), plain)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_streaming_and_insertion_keep_apart():
    model = nn.Sequential(Multirate(8))
    with streaming(model), pytest.raises(ValueError, match="0 is streaming"):
        insert(model, "0", lowpass)
    with pytest.raises(ValueError, match="put that one into a Chain"):
        Pointwise(nn.Sequential(FIR(8, 2)), 8)
