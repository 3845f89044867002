"""Models that remember otherwise than by keys and values alone, tiny, with layers of ours in each block."""

from functools import partial

import torch

from dsptorch import FIR, Chain, LFORouting, Multirate, insert
from tests import zoo

WIDTH, PROMPT = 16, 9
SIZES = {"num_hidden_layers": 2, "hidden_size": WIDTH, "vocab_size": zoo.VOCABULARY}
ENDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": None}
HEADS = {"num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 2 * WIDTH}
STATES = {"state_size": 4}
HYBRID = {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 4, "use_mamba_kernels": False}
EXPERTS = {"num_experts": 2, "num_experts_per_tok": 1}


def make(kind, where, *options):
    """A function that builds the model, and the place of its blocks."""
    build = partial(zoo.from_transformers, f"{kind}Config", f"{kind}ForCausalLM")
    return partial(build, **SIZES, **ENDS, **{k: v for each in options for k, v in each.items()}), where


SSM = {"num_heads": 4, "head_dim": 8, "n_groups": 1, "chunk_size": 8}
FOLLOWED = {
    "Mamba": make("Mamba", "backbone.layers.*", STATES),
    "Mamba2": make("Mamba2", "backbone.layers.*", STATES, SSM),
    "FalconMamba": make("FalconMamba", "backbone.layers.*", STATES),
    "Jamba": make("Jamba", "model.layers.*", HEADS, HYBRID, EXPERTS),
    "Lfm2": make("Lfm2", "model.layers.*", HEADS, {"layer_types": ["conv", "full_attention"]}),
    "Gemma3": (
        partial(
            zoo.from_transformers,
            "Gemma3TextConfig",
            "Gemma3ForCausalLM",
            **{**SIZES, **ENDS, **HEADS, "head_dim": 8, "sliding_window": 6},
            layer_types=["sliding_attention", "full_attention"],
        ),
        "model.layers.*",
    ),
}
LINEAR = {"layer_types": ["linear_attention", "full_attention"], "num_local_experts": 2, "block_size": 4}
REFUSED = {
    "Rwkv": (*make("Rwkv", "rwkv.blocks.*", {"attention_hidden_size": WIDTH}), "state, a list"),
    "MiniMax": (
        *make("MiniMax", "model.layers.*", HEADS, LINEAR, {"head_dim": 8}),
        "past_key_values, a MiniMaxCache",
    ),
}


def augmented(build, where):
    model = build()
    insert(
        model, where, lambda _: Chain(FIR(WIDTH, 3, init="lowpass"), Multirate(WIDTH, 3), LFORouting(WIDTH))
    )
    return model.eval()


def prompt():
    return torch.randint(2, zoo.VOCABULARY, (2, PROMPT), generator=torch.Generator().manual_seed(0))
