"""Low-rank adapters by PEFT beside inserted layers: in either order, trained, saved, merged, and out again."""

import copy

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from dsptorch import FIR, Chain, ChannelBottleneck, Pointwise, fold, insert, remove, streaming
from tests.surgery.models import draw
from tests.tolerances import assert_close

pytestmark = pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"
)  # PEFT's

IDS = torch.randint(0, 40, (2, 9), generator=torch.Generator().manual_seed(0))
PLACES = "**.layers.*"
MODULES = ["q_proj", "v_proj"]


def llama():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2
    )
    return LlamaForCausalLM(config).eval()


def fir(_=None):
    return FIR(16, 3, init="lowpass")


def adapted(model, modules=MODULES, **config):
    """With adapters that are open, the same ones each time."""
    torch.manual_seed(1)
    return get_peft_model(
        model, LoraConfig(r=2, target_modules=modules, init_lora_weights=False, **config)
    ).eval()


def inserted(model, build=fir):
    insert(model, PLACES, build)
    return model


def logits(model):
    return model(IDS).logits


def merged(model):
    return copy.deepcopy(model).merge_and_unload()


def check_streams(model, expected):
    cache = DynamicCache()
    with streaming(model), torch.no_grad():
        parts = [model(ids, past_key_values=cache, use_cache=True).logits for ids in IDS.split([5, 1, 3], 1)]
    assert_close(torch.cat(parts, 1), expected)


@pytest.mark.parametrize("build", [fir, lambda _: ChannelBottleneck(16)], ids=["FIR", "ChannelBottleneck"])
@pytest.mark.parametrize("modules", [MODULES, "all-linear"], ids=["attention", "all"])
def test_both_orders_are_one_model(modules, build):
    if build is not fir and modules == "all-linear":  # then the bottleneck's are among them
        model = adapted(inserted(llama(), build), modules)
        assert any("dsp_before.down.lora_A" in name for name, _ in model.named_modules())
    else:
        model, plain = inserted(adapted(llama(), modules), fir), adapted(llama(), modules)
        assert_close(logits(model), logits(adapted(inserted(llama(), fir), modules)))
        assert not torch.allclose(logits(model), logits(plain), atol=1e-3)
    expected = logits(model).detach()
    check_streams(model, expected)
    for other in (merged(model), fold(model), merged(fold(model)), copy.deepcopy(model)):
        assert_close(logits(other), expected)
    with model.disable_adapter():
        assert not torch.allclose(logits(model), expected, atol=1e-3)


def test_what_is_left_after_removal():
    plain, model = adapted(llama()), adapted(inserted(llama()))
    after_merge = merged(model)
    assert remove(after_merge) == ["model.layers.0.dsp_before", "model.layers.1.dsp_before"]
    assert len(remove(model)) == 2
    assert torch.equal(logits(model), logits(plain))
    assert torch.equal(logits(after_merge), logits(merged(plain)))
    assert list(model.state_dict()) == list(plain.state_dict())


def test_layers_are_saved_with_the_adapter(tmp_path):
    model = adapted(inserted(llama()), modules_to_save=["dsp_before"]).train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    first = logits(model)
    first.square().mean().backward()
    optimizer.step()
    expected = logits(model.eval()).detach()
    moved = model.base_model.model.model.layers[0].dsp_before.modules_to_save.default.weight
    assert not torch.equal(moved, fir().weight)
    model.save_pretrained(tmp_path)
    other = PeftModel.from_pretrained(inserted(llama()), tmp_path)
    assert torch.equal(logits(other), expected)
    check_streams(other, expected)
    for same in (merged(other), fold(other)):
        assert_close(logits(same), expected)
    mask = torch.ones_like(IDS)
    mask[1, :4] = 0
    torch.testing.assert_close(
        other(IDS, attention_mask=mask).logits[1:, 4:], other(IDS[1:, 4:]).logits, atol=1e-4, rtol=1e-4
    )
    assert len(remove(other)) == 2


def test_adapters_within_a_layer():
    model = nn.Sequential(
        Chain(fir(), ChannelBottleneck(16), Pointwise(nn.Sequential(nn.Linear(16, 16)), 16))
    )
    model, x = adapted(model, ["down", "up", "module.0"]), draw(2, 9, 16)
    expected = model(x)
    assert sum(name.endswith("lora_A") for name, _ in model.named_modules()) == 3
    assert_close(merged(model)(x), expected)
    assert_close(fold(model)(x), expected)
    with streaming(model):
        assert_close(torch.cat([model(chunk) for chunk in x.split(4, 1)], 1), expected)
    with pytest.raises(TypeError, match=r"down is a peft.*Linear, which the copy would lose"):
        model.base_model.model[0].layers[1].compact()


@pytest.mark.parametrize("place", ["**.q_proj", "**.q_proj.base_layer", "**.q_proj.lora_A.default"])
def test_a_module_of_pefts_is_no_place(place):
    """What merges the adapter takes the module out, and the layer with it."""
    model = adapted(llama())
    before = logits(model)
    with pytest.raises(ValueError, match=r"q_proj is a BaseTunerLayer, which is what PEFT put around"):
        insert(model, place, fir)
    assert torch.equal(logits(model), before)


def test_a_wrapper_of_what_is_saved_is_no_place():
    model = adapted(llama(), modules_to_save=["lm_head"])
    with pytest.raises(
        ValueError, match=r"lm_head is a AuxiliaryTrainingWrapper.*takes out again when it unloads"
    ):
        insert(model, "**.lm_head", fir)


@pytest.mark.parametrize(
    "use",
    [
        fold,
        lambda model: streaming(model).__enter__(),
        lambda model: insert(model, "**.mlp", fir),
    ],
    ids=["fold", "streaming", "insert"],
)
def test_an_adapter_at_the_place_of_a_layer_is_refused(use):
    """The adapter goes past the layer, and after the merge through it: the numbers would be others."""
    model = llama()
    insert(model, "**.q_proj", fir)
    model = adapted(model)
    before = logits(model)
    assert not torch.allclose(logits(merged(model)), before, atol=1e-3)
    with pytest.raises(ValueError, match=r"PEFT adapts .*q_proj.base_layer, at which a layer is inserted"):
        use(model)
    assert len(remove(model)) == 2
    assert torch.equal(logits(model), logits(adapted(llama())))
