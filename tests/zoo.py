"""Tiny models that nobody here wrote, with random weights and without dropout: for whoever puts layers into them."""

from typing import Any

import pytest
import torch
from torch import nn

VOCABULARY = 40
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}


def from_transformers(config: str, model: str, *, seed: int = 0, **options: Any) -> nn.Module:
    """A model of transformers, the same one for each seed."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    made: nn.Module = getattr(transformers, model)(getattr(transformers, config)(**options))
    return made


def gpt2(width: int, **options: Any) -> nn.Module:
    sizes = {"n_layer": 2, "n_head": 2, "n_embd": width, "vocab_size": VOCABULARY, "n_positions": 256}
    ends = {"bos_token_id": 0, "eos_token_id": 1}
    return from_transformers("GPT2Config", "GPT2LMHeadModel", **{**sizes, **ends, **NO_DROPOUT, **options})


def _sizes(width: int) -> dict[str, Any]:
    return {
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "vocab_size": VOCABULARY,
    }


def llama(width: int, kind: str = "Llama", **options: Any) -> nn.Module:
    """Llama, or what is built like it: Qwen2, Mistral."""
    options = {"num_key_value_heads": 1, **_sizes(width), **options}
    return from_transformers(f"{kind}Config", f"{kind}ForCausalLM", **options)


def bert(width: int) -> nn.Module:
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return from_transformers("BertConfig", "BertModel", **_sizes(width), **dropout)


def whisper_encoder(width: int, mels: int, time: int) -> nn.Module:
    """It takes (batch, mels, 2 * time)."""
    ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "decoder_start_token_id": 1}
    sizes = {"d_model": width, "encoder_ffn_dim": 2 * width, "num_mel_bins": mels, "vocab_size": VOCABULARY}
    depth = {"encoder_layers": 2, "decoder_layers": 1, "max_source_positions": time}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    model = from_transformers("WhisperConfig", "WhisperModel", **ends, **sizes, **depth, **heads)
    encoder: nn.Module = model.encoder
    return encoder


def transformer_encoder(width: int, batch_first: bool) -> nn.TransformerEncoder:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(width, 2, 2 * width, 0.0, batch_first=batch_first)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def transformer_decoder_layer(width: int, batch_first: bool) -> nn.TransformerDecoderLayer:
    torch.manual_seed(0)
    return nn.TransformerDecoderLayer(width, 2, 2 * width, 0.0, batch_first=batch_first)


def conformer(width: int) -> nn.Module:
    try:
        from torchaudio.models import Conformer
    except (ImportError, OSError) as error:  # not there, or linked against a CUDA that is not
        pytest.skip(f"torchaudio: {error}; run tests/install_torchaudio.sh")
    torch.manual_seed(0)
    made: nn.Module = Conformer(width, 2, 2 * width, 2, 3)
    return made
