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


BERT: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def bert(width: int) -> nn.Module:
    return from_transformers("BertConfig", "BertModel", **_sizes(width), **BERT)


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


def gemma(width: int) -> nn.Module:
    return llama(width, "Gemma", head_dim=width // 2)


def mixtral(width: int) -> nn.Module:
    """Its experts are run one by one: the grouped product knows no float64."""
    model = llama(width, "Mixtral", num_local_experts=2)
    model.config._experts_implementation = "eager"
    return model


ENDS = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 1}


def mamba(width: int) -> nn.Module:
    sizes = {"vocab_size": VOCABULARY, "hidden_size": width, "num_hidden_layers": 2, "state_size": 4}
    return from_transformers("MambaConfig", "MambaForCausalLM", **sizes, **ENDS)


def mamba2(width: int) -> nn.Module:
    sizes = {"vocab_size": VOCABULARY, "hidden_size": width, "num_hidden_layers": 2, "state_size": 4}
    heads = {"num_heads": 4, "head_dim": width // 2, "n_groups": 1, "chunk_size": 4}
    return from_transformers("Mamba2Config", "Mamba2ForCausalLM", **sizes, **heads, **ENDS)


def rwkv(width: int) -> nn.Module:
    sizes = {**_sizes(width), "attention_hidden_size": width, "context_length": 64}
    del sizes["num_attention_heads"]
    return from_transformers("RwkvConfig", "RwkvForCausalLM", **sizes, bos_token_id=0, eos_token_id=1)


def recurrent_gemma(width: int) -> nn.Module:
    sizes = {**_sizes(width), "num_hidden_layers": 3, "lru_width": width, "attention_window_size": 8}
    return from_transformers("RecurrentGemmaConfig", "RecurrentGemmaForCausalLM", **sizes, **ENDS)


def t5(width: int) -> nn.Module:
    sizes = {
        "vocab_size": VOCABULARY,
        "d_model": width,
        "d_kv": width // 2,
        "d_ff": 2 * width,
        "num_heads": 2,
    }
    ends = {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1, "dropout_rate": 0.0}
    return from_transformers("T5Config", "T5ForConditionalGeneration", **sizes, num_layers=2, **ends)


def bart(width: int, kind: str = "Bart", model: str = "BartForConditionalGeneration") -> nn.Module:
    """BART, or what is built like it: Marian."""
    sizes = {"vocab_size": VOCABULARY, "d_model": width, "max_position_embeddings": 64}
    for side in ("encoder", "decoder"):
        sizes |= {f"{side}_layers": 1, f"{side}_attention_heads": 2, f"{side}_ffn_dim": 2 * width}
    ends = {"decoder_start_token_id": 0, **ENDS, "dropout": 0.0, "forced_eos_token_id": None}
    return from_transformers(f"{kind}Config", model, **sizes, **ends)


def marian(width: int) -> nn.Module:
    return bart(width, "Marian", "MarianMTModel")


def _composed(config: str, model: str, encoder: Any, width: int) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    decoder = transformers.BertConfig(**_sizes(width), **BERT, is_decoder=True, add_cross_attention=True)
    both = getattr(transformers, config).from_encoder_decoder_configs(encoder, decoder)
    torch.manual_seed(0)
    made: nn.Module = getattr(transformers, model)(config=both)
    made.generation_config.decoder_start_token_id = 1
    return made


def bert_to_bert(width: int) -> nn.Module:
    encoder = pytest.importorskip("transformers").BertConfig(**_sizes(width), **BERT)
    return _composed("EncoderDecoderConfig", "EncoderDecoderModel", encoder, width)


def _vision(width: int) -> dict[str, Any]:
    """A picture of 8 x 8 is four patches and a class token."""
    sizes = _sizes(width)
    del sizes["vocab_size"]
    return {**sizes, "image_size": 8, "patch_size": 4}


def vit(width: int) -> nn.Module:
    return from_transformers("ViTConfig", "ViTModel", **_vision(width))


def vit_to_bert(width: int) -> nn.Module:
    encoder = pytest.importorskip("transformers").ViTConfig(**_vision(width))
    return _composed("VisionEncoderDecoderConfig", "VisionEncoderDecoderModel", encoder, width)


def clip(width: int) -> nn.Module:
    text = {**_sizes(width), "max_position_embeddings": 32, **ENDS, "eos_token_id": VOCABULARY - 1}
    towers = {"text_config": text, "vision_config": _vision(width)}
    return from_transformers("CLIPConfig", "CLIPModel", **towers, projection_dim=width)


def wav2vec2(width: int, kind: str = "Wav2Vec2") -> nn.Module:
    """It makes 1 frame of 4 samples. HuBERT is built like it."""
    sizes = _sizes(width)
    del sizes["vocab_size"]
    net = {"conv_dim": (8, 8), "conv_stride": (2, 2), "conv_kernel": (3, 3), "num_feat_extract_layers": 2}
    positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    rest = {"feat_extract_norm": "layer", "layerdrop": 0.0, "mask_time_prob": 0.0}
    rest |= {f"{name}_dropout": 0.0 for name in ("hidden", "feat_proj", "attention", "activation")}
    return from_transformers(f"{kind}Config", f"{kind}Model", **sizes, **net, **positions, **rest)


def transformer(width: int) -> nn.Transformer:
    torch.manual_seed(0)
    return nn.Transformer(width, 2, 2, 2, 2 * width, 0.0, batch_first=True)
