"""HuggingFace models with layers built in: what a checkpoint lacks has its first values, whatever the model says."""

import functools
import logging

import pytest
import torch
import transformers
from torch import nn

from dsptorch import FIR, BoundedHyperparam, ChannelBottleneck, LFORouting
from dsptorch.hyperparams import first_values
from tests.layers.table import EVERY, WIDTH
from tests.tolerances import assert_same


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setattr(logging.getLogger("transformers"), "level", logging.ERROR)


class Config(transformers.PretrainedConfig):
    model_type = "table"


class Base(transformers.PreTrainedModel):
    config_class = Config

    def __init__(self, config):
        super().__init__(config)
        self.head = nn.Linear(WIDTH, WIDTH)
        self.build()
        self.post_init()

    def build(self):
        """No layers."""


class Host(Base):
    """Every layer of the table."""

    def build(self):
        self.table = nn.ModuleList(builder() for builder in EVERY.values())
        self.learned = BoundedHyperparam(0.3, 0.2, 0.6, shape=(3,))


class Silent(Host):
    def _init_weights(self, module):
        """Nothing: the modules that torch made keep what they began with, as far as they have that."""
        if not isinstance(module, first_values.FirstValues):
            super()._init_weights(module)


class Resetting(Host):
    def _init_weights(self, module):
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


class OldStyle(Host):
    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            module.weight.data.normal_(mean=0.0, std=0.02)
            module.bias.data.zero_()
        elif isinstance(module, nn.LayerNorm):
            module.weight.data.fill_(1.0)
            module.bias.data.zero_()


HOSTS = [Host, Silent, Resetting, OldStyle]
OPTIONS = [{"dtype": torch.bfloat16}, {"device_map": "cpu"}, {"low_cpu_mem_usage": True}]


def tensors(module):
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


@functools.cache
def first_of(host, dtype=torch.float32):
    """The first values that are the same at every construction; None for those that are drawn."""
    seen = []
    torch.set_default_dtype(dtype)
    try:
        for seed in (1, 2):
            torch.manual_seed(seed)
            seen.append(tensors(host(Config())))
    finally:
        torch.set_default_dtype(torch.float32)
    fixed = {n: t.detach() if torch.equal(t, seen[1][n]) else None for n, t in seen[0].items()}
    if host is OldStyle or int(transformers.__version__[0]) < 5:
        # Where .data hides that it wrote, parts of our layers are drawn as torch draws them.
        fixed |= dict.fromkeys(
            n for n in fixed if n.startswith("table.") and n.endswith((".bias", "norm.weight"))
        )
    return fixed


@pytest.fixture
def spoiled(monkeypatch):
    """The memory that transformers makes for what a checkpoint lacks holds NaN."""
    plain = torch.empty_like

    def empty_like(*args, **kwargs):
        tensor = plain(*args, **kwargs)
        if tensor.is_floating_point() and not tensor.is_meta:
            tensor.data.fill_(torch.nan)  # .data: nobody has written to the tensor itself
        return tensor

    monkeypatch.setattr(torch, "empty_like", empty_like)


def check_first_values(model, first, saved):
    for name, tensor in tensors(model).items():
        assert not tensor.is_meta, name
        assert tensor.isfinite().all(), name
        if name in saved:
            assert_same(tensor.detach(), saved[name].to(tensor), what=name)
        elif first[name] is not None:
            assert_same(tensor.detach(), first[name].to(tensor), what=name)


@pytest.mark.parametrize(
    ("host", "options"), [*((host, {}) for host in HOSTS), *((Host, options) for options in OPTIONS)], ids=str
)
def test_keys_that_a_checkpoint_lacks(host, options, spoiled, tmp_path):
    first = first_of(host, options.get("dtype", torch.float32))
    base = Base(Config())
    base.save_pretrained(tmp_path)
    model = host.from_pretrained(tmp_path, **options)
    check_first_values(model, first, base.state_dict())
    kept = {n: t.dtype for n, t in tensors(model).items() if n.endswith(("raw", "phase", "interval"))}
    assert set(kept.values()) == {torch.float32}


@pytest.mark.parametrize("host", [Host, Silent, Resetting])  # through .data transformers itself overwrites
def test_a_checkpoint_that_has_a_part(host, spoiled, tmp_path):
    """Of each layer some keys are there and some are not."""
    torch.manual_seed(5)
    donor = Host(Config())
    saved = {}
    for i, (name, tensor) in enumerate(donor.state_dict().items()):
        if i % 2 and not name.endswith("interval"):
            saved[name] = torch.full_like(tensor, 0.125)
    donor.save_pretrained(tmp_path, state_dict=dict(saved))  # which it empties
    check_first_values(host.from_pretrained(tmp_path), first_of(host), saved)


def test_a_whole_checkpoint(spoiled, tmp_path):
    donor = Host(Config())
    with torch.no_grad():
        for parameter in donor.parameters():
            parameter.add_(0.125)
    donor.save_pretrained(tmp_path)
    check_first_values(Host.from_pretrained(tmp_path), first_of(Host), donor.state_dict())
    model = Host.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert_same(model.learned.raw.detach(), donor.learned.raw.detach())  # float32, as it was saved


def test_what_init_weights_writes_into_a_layer_stays(spoiled, tmp_path):
    class Chooses(Host):
        def _init_weights(self, module):
            super()._init_weights(module)
            if isinstance(module, FIR):
                nn.init.constant_(module.weight, 0.25)

    Base(Config()).save_pretrained(tmp_path)
    for model in (Chooses(Config()), Chooses.from_pretrained(tmp_path)):
        weights = [layer.weight for layer in model.modules() if isinstance(layer, FIR)]
        assert len(weights) > 5
        assert all((weight == 0.25).all() for weight in weights)


def test_a_model_that_is_built_is_drawn_once():
    """post_init leaves the layers' first values, and draws none anew."""

    class Watched(Base):
        def build(self):
            self.lfo = LFORouting(WIDTH, 2)
            self.drawn = self.lfo.weight.detach().clone(), self.lfo.gate.phase.detach().clone()

    model = Watched(Config())
    assert_same(model.lfo.weight.detach(), model.drawn[0])
    assert_same(model.lfo.gate.phase.detach(), model.drawn[1])


def test_layers_that_have_been_trained_stay_when_a_model_initialises_what_is_new(tmp_path):
    """As after insert, and load_state_dict with assign=True, whose tensors were never written to."""
    model, taps = Base(Config()), torch.rand(3, WIDTH)
    model.fir = FIR(WIDTH, 3)
    model.empty = FIR(WIDTH, 3, device="meta")
    for layer in (model.fir, model.empty):
        layer.load_state_dict({"weight": taps.clone()}, assign=True)
    model.init_weights()
    assert_same(model.fir.weight.detach(), taps)
    assert_same(model.empty.weight.detach(), taps)


def test_parts_that_a_layer_built_are_reset_where_the_model_does_not(spoiled, tmp_path):
    class Bare(Base):
        def build(self):
            self.bottleneck = ChannelBottleneck(WIDTH)

        def _init_weights(self, module):
            """Nothing."""

    Base(Config()).save_pretrained(tmp_path)
    model = Bare.from_pretrained(tmp_path)
    assert all(t.isfinite().all() for t in tensors(model.bottleneck).values())


def test_bounds_that_differ_from_the_saved_ones(tmp_path):
    class Wider(Base):
        def build(self):
            self.learned = BoundedHyperparam(0.9, 0.0, 1.0)

    class Narrow(Base):
        def build(self):
            self.learned = BoundedHyperparam(0.3, 0.2, 0.6)

    class Elsewhere(Base):
        def build(self):
            self.learned = BoundedHyperparam(0.9, 0.5, 1.0)

    Narrow(Config()).save_pretrained(tmp_path)
    loaded = Wider.from_pretrained(tmp_path).learned
    assert loaded.value.item() == pytest.approx(0.3, rel=1e-6)
    assert_same(loaded.interval, torch.tensor([0.0, 1.0, 0.0]))
    with pytest.raises(ValueError, match=r"saved within \[0.2, 0.6\] and is loaded into \[0.5, 1\]"):
        Elsewhere.from_pretrained(tmp_path)


def test_memory_that_stays_raw_is_caught(spoiled, tmp_path, monkeypatch):
    monkeypatch.setattr(first_values.FirstValues, "_complete", lambda self: None)
    first, base = first_of(Host), Base(Config())
    base.save_pretrained(tmp_path)
    with pytest.raises(AssertionError):
        check_first_values(Host.from_pretrained(tmp_path), first, base.state_dict())
