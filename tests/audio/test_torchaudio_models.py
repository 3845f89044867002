"""Layers in torchaudio's models: wav2vec 2.0 with padding, and Emformer, which streams by `infer`."""

import pytest
import torch

from dsptorch import FIR, insert, remove, streaming
from dsptorch.surgery import hf_cache

try:
    from torchaudio import models
except (ImportError, OSError) as error:  # not there, or linked against a CUDA that is not
    pytest.skip(f"torchaudio: {error}; run tests/install_torchaudio.sh", allow_module_level=True)


def wav2vec2():
    torch.manual_seed(0)
    sizes = {"encoder_embed_dim": 16, "encoder_ff_interm_features": 32, "encoder_pos_conv_kernel": 8}
    counts = {"encoder_num_layers": 2, "encoder_num_heads": 2, "encoder_pos_conv_groups": 2}
    off = ("projection_dropout", "attention_dropout", "ff_interm_dropout", "dropout", "layer_drop")
    return models.wav2vec2_model(
        extractor_mode="layer_norm",
        extractor_conv_layer_config=[(8, 10, 5), (8, 3, 2)],
        extractor_conv_bias=False,
        encoder_layer_norm_first=False,
        aux_num_out=None,
        **sizes,
        **counts,
        **{f"encoder_{name}": 0.0 for name in off},
    ).eval()


@torch.no_grad()
def test_a_padded_waveform_gives_what_it_gives_alone():
    model, x, lengths = wav2vec2(), torch.randn(2, 400), torch.tensor([400, 250])
    x[1, 250:] = 0
    before = model(x, lengths)[0]
    places = insert(model, "encoder.transformer.layers.*", lambda _: FIR(16, 5, causal=False), identity=True)
    assert torch.equal(model(x, lengths)[0], before)
    with torch.no_grad():
        for name in places:
            model.get_submodule(name).gain.fill_(0.5)
            model.get_submodule(name).layer.weight.normal_()
    padded = model(x, lengths)[0][1, :24]
    torch.testing.assert_close(padded, model(x[1:, :250], lengths[1:])[0][0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(padded, before[1, :24], atol=1e-2)
    remove(model)
    assert torch.equal(model(x, lengths)[0], before)


@torch.no_grad()
def stream_apart():
    """How far the outputs of Emformer's `infer`, chunk by chunk, are from those of the whole."""
    torch.manual_seed(0)
    model = models.Emformer(16, 2, 32, 2, segment_length=4, left_context_length=4).eval()
    insert(model, "emformer_layers.*.pos_ff.0", lambda _: FIR(16, 3, init="lowpass"), layout="tbd")
    x = torch.randn(2, 12, 16)
    whole, parts, state = model(x, torch.tensor([12, 12]))[0], [], None
    with streaming(model):
        for chunk in x.split(4, 1):
            y, _, state = model.infer(chunk, torch.tensor([4, 4]), state)
            parts.append(y)
    return (torch.cat(parts, 1) - whole).abs().max()


def test_emformer_streams():
    assert stream_apart() < 1e-5


def test_a_bank_of_memories_that_is_taken_for_a_cache_is_caught(monkeypatch):
    monkeypatch.setattr(hf_cache, "_BESIDE", {"state": "use_cache"})  # planted
    assert stream_apart() > 0.1
