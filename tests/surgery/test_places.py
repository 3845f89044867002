"""Places at which an insertion would not act, or act twice, are refused; where it is accepted, it acts."""

import pytest
import torch
from torch import nn

from dsptorch import FIR, ChannelBottleneck, Multirate, Pointwise, insert, remove, streaming

X = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))


def lowpass(_):
    return FIR(8, 3, init="lowpass")


@pytest.mark.parametrize(
    ("model", "where", "message"),
    [
        (nn.Sequential(nn.Sequential(nn.Linear(8, 8))), "0", "Sequential.*member"),
        (nn.Sequential(nn.ModuleList([nn.Linear(8, 8)])), "0", "ModuleList.*member"),
        (nn.Sequential(nn.ModuleDict({"a": nn.Linear(8, 8)})), "0", "ModuleDict.*member"),
        (nn.Sequential(nn.MultiheadAttention(8, 2)), nn.Linear, "0.out_proj.*MultiheadAttention"),
        (nn.Sequential(ChannelBottleneck(8)), nn.Linear, "0.down.*dsptorch layer 0"),
        (ChannelBottleneck(8), "down", "dsptorch layer that the model is"),
        (nn.Sequential(nn.Embedding(9, 8)), "0", "0 takes ids.*position='after'"),
        (nn.Sequential(nn.Conv1d(8, 8, 1)), "0", "channels come second; give layout='bct'"),
        (nn.Sequential(nn.GroupNorm(1, 8)), "0", "channels come second; give layout='bct'"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1)), "0", "channels come second; give layout='bct'"),
        (nn.Sequential(nn.GRU(8, 8)), "0", "0 is a GRU with batch_first=False.*layout='tbd'"),
        (
            nn.Sequential(nn.TransformerEncoderLayer(8, 2)),
            "0",
            "0 holds a MultiheadAttention with batch_first=False",
        ),
        (
            nn.Sequential(nn.TransformerEncoderLayer(8, 2)),
            "0.norm1",
            "0.norm1 stands beside a MultiheadAttention",
        ),
        (nn.Sequential(nn.Linear(8, 8), nn.LSTM(8, 8)), "0", "0 stands beside a LSTM"),
        (
            nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16), 1, nn.LayerNorm(8)),
            "norm",
            "norm stands beside a TransformerDecoderLayer with batch_first=False",
        ),
        (
            nn.DataParallel(nn.Linear(8, 8)),
            "module",
            "the model is a DataParallel.*insert into the plain model",
        ),
        (
            nn.Sequential(nn.DataParallel(nn.Linear(8, 8))),
            "0",
            "0 is a DataParallel.*insert into the plain model",
        ),
        (
            torch.compile(nn.Sequential(nn.Linear(8, 8))),
            "_orig_mod.0",
            "the model is a OptimizedModule.*compile that",
        ),
        (nn.Sequential(torch.compile(nn.Linear(8, 8))), "0", "0 is a OptimizedModule.*compile that"),
        (
            nn.Sequential(torch.compile(nn.Linear(8, 8))),
            "0._orig_mod",
            "0 is a OptimizedModule.*compile that",
        ),
    ],
)
def test_places_that_would_not_act_are_refused(model, where, message):
    before = attributes(model)
    with pytest.raises(ValueError, match=message):
        insert(model, where, lowpass)
    assert attributes(model) == before


def attributes(model):
    return [(name, dict(vars(module)), list(module._modules)) for name, module in model.named_modules()]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_model_is_refused():
    model = torch.jit.trace(nn.Sequential(nn.Linear(8, 8)), X)
    with pytest.raises(
        ValueError, match="is a ScriptModule, which cannot be changed; insert into the Python model"
    ):
        insert(model, "0", lowpass)


@pytest.fixture
def _one_process(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("_one_process")
def test_models_of_many_processes_are_refused():
    from torch.distributed.fsdp import fully_shard

    parallel = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(8, 8)))
    with pytest.raises(ValueError, match=r"the model is a DistributedDataParallel.*and wrap that"):
        insert(parallel, "module.0", lowpass)
    sharded = nn.Sequential(nn.Linear(8, 8))
    fully_shard(sharded, mesh=torch.distributed.device_mesh.init_device_mesh("cpu", (1,)))
    with pytest.raises(ValueError, match=r"the model is a FSDPModule.*and shard that"):
        insert(sharded, "0", lowpass)


def test_a_name_that_is_taken_is_refused():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    model[1].dsp_after = nn.Identity()
    keys = list(model.state_dict())
    with pytest.raises(
        ValueError, match="1 has something called dsp_after, where the layer would go: rename it"
    ):
        insert(model, "*", lowpass, position="after")
    assert list(model.state_dict()) == keys
    insert(model, "1", lowpass)


@pytest.mark.parametrize("layout", ["BTD", "tdb", 3])
def test_an_unknown_layout_is_refused(layout):
    with pytest.raises(ValueError, match="layout must be one of btd, tbd, bct, got"):
        insert(nn.Sequential(nn.Linear(8, 8)), "0", lowpass, layout=layout)


def test_a_clear_layout_beside_one_that_is_not():
    """What does not touch the attention is no reason to refuse, however far up the model both are."""

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.ModuleDict({"inner": nn.Sequential(nn.Linear(8, 8))})
            self.b = nn.ModuleDict({"inner": nn.Sequential(nn.Linear(8, 8))})
            self.c = Holder()

    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention, self.norm = nn.MultiheadAttention(8, 2), nn.LayerNorm(8)

    insert(Two(), "a.inner.0", lowpass)
    with pytest.raises(ValueError, match=r"c\.norm stands beside"):
        insert(Two(), "c.norm", lowpass)


def test_compiled_in_place_it_acts():
    """Not a wrapper: the model sees its own modules, and compiles anew."""
    torch.compiler.reset()
    model, layer = nn.Sequential(nn.Linear(8, 8)), lowpass(None)
    model.compile(backend="eager")
    plain = model(X)
    insert(model, "0", lambda _: layer)
    torch.testing.assert_close(model(X), nn.functional.linear(layer(X), model[0].weight, model[0].bias))
    remove(model)
    assert torch.equal(model(X), plain)


# PyTorch's fast path for padded batches


def padded_encoder():
    block = nn.TransformerEncoderLayer(8, 2, 8, 0.0, batch_first=True)
    return nn.TransformerEncoder(block, 2).eval()


PADDING = torch.tensor([[False] * 6, [False] * 4 + [True] * 2])


@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize("place", ["layers.*", "layers.*.linear1", "layers.1.norm2"])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_acts_on_the_nested_tensors_of_the_fast_path(place, position):
    model = padded_encoder()
    insert(model, place, lowpass, position=position)
    expected = model(X, src_key_padding_mask=PADDING)  # with gradients there is no fast path
    with torch.no_grad():
        y = model(X, src_key_padding_mask=PADDING)
    torch.testing.assert_close(y[~PADDING], expected[~PADDING])
    torch.testing.assert_close(y[1, :4], model(X[1:, :4])[0])


def test_a_query_that_is_not_the_key_is_refused_there():
    model = padded_encoder()
    with pytest.raises(ValueError, match=r"layers.0.self_attn.*the model.use_nested_tensor = False"):
        insert(model, "layers.*.self_attn", lowpass)
    model.use_nested_tensor = False
    insert(model, "layers.*.self_attn", lowpass)
    with torch.no_grad():
        model(X, src_key_padding_mask=PADDING)


def test_a_member_of_a_sequential_acts_once():
    model, layer = nn.Sequential(nn.Sequential(nn.Identity())), lowpass(None)
    insert(model, "0.0", lambda _: layer)
    assert torch.equal(model(X), layer(X))


@pytest.mark.parametrize("place", ["layers.*.linear1", "layers.*.norm1", "layers.*"])
def test_acts_in_eval_without_gradients_too(place):
    """PyTorch's fast path for transformers must not go past it."""
    block = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
    model = nn.TransformerEncoder(block, 2, enable_nested_tensor=False).eval()
    plain = model(X).detach()
    insert(model, place, lowpass)
    expected = model(X).detach()
    with torch.no_grad():
        torch.testing.assert_close(model(X), expected)
        assert not torch.allclose(model(X), plain, atol=1e-3)
    remove(model)
    assert torch.equal(model(X), plain)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_module_without_arguments_leaves_the_model_as_it_was():
    class Nullary(nn.Module):
        def forward(self):
            return X

    model = nn.Sequential(nn.Linear(8, 8), Nullary())
    keys = list(model.state_dict())
    with pytest.raises(TypeError, match="1 is a Nullary whose forward takes no argument"):
        insert(model, "*", lowpass)
    assert list(model.state_dict()) == keys


def test_streaming_and_insertion_keep_apart():
    model = nn.Sequential(Multirate(8))
    with streaming(model), pytest.raises(ValueError, match="0 is streaming"):
        insert(model, "0", lowpass)
    with pytest.raises(ValueError, match="put that one into a Chain"):
        Pointwise(nn.Sequential(FIR(8, 2)), 8)
