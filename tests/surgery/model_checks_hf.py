"""Checks of the table of models that generate, checkpoint, and are saved in the format of their own library."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dsptorch import insert, streaming
from dsptorch.testing._engine.run import output_of
from tests.surgery.model_places import TIME, Place

NEW = 6


def generator(model: nn.Module) -> Any:
    """The model that generates: it, or what it wraps; None if none does."""
    inner = getattr(model, "inner", None)
    return next((each for each in (model, inner) if hasattr(each, "generate")), None)


def prompt(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """A padded prompt; of an encoder and a decoder, a padded source."""
    real = torch.ones_like(x)
    left = not getattr(generator(model).config, "is_encoder_decoder", False)
    real[0, slice(0, 3) if left else slice(-3, None)] = 0
    return {"input_ids": x, "attention_mask": real}


def _length(tokens: int) -> dict[str, Any]:
    return {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False, "pad_token_id": 0}


@torch.no_grad()
def check_beams(model: nn.Module, x: Tensor) -> None:
    """Beam search in a stream finds what it finds without a cache."""
    generates, inputs = generator(model), prompt(model, x)
    how = {"num_beams": 3, "num_return_sequences": 2, **_length(NEW)}
    with streaming(model):
        found = generates.generate(**inputs, **how)
        again = generates.generate(**inputs, **how)  # a new signal
    assert torch.equal(found, generates.generate(**inputs, **how, use_cache=False))
    assert torch.equal(again, found)


@torch.no_grad()
def check_chat(model: nn.Module, x: Tensor) -> None:
    """A second turn on the cache of the first gives the tokens of the whole."""
    generates = generator(model)
    with streaming(model):
        first = generates.generate(x[:1], **_length(NEW), return_dict_in_generate=True)
        turn = torch.cat([first.sequences, x[1:, :4]], 1)
        second = generates.generate(turn, past_key_values=first.past_key_values, **_length(NEW))
    assert torch.equal(second, generates.generate(turn, **_length(NEW), use_cache=False))


def check_checkpoints(model: nn.Module, x: Tensor) -> None:
    """Gradients with activation checkpoints, of the model's own and around it."""
    expected = _gradients(model, x, lambda: output_of(model, x))
    inner = generator(model) or getattr(model, "inner", model)
    if hasattr(inner, "activation_checkpointing_enable"):
        inner.activation_checkpointing_enable({"use_reentrant": False})
        _same(_gradients(model, x, lambda: output_of(model, x)), expected)
        inner.activation_checkpointing_disable()
    again = torch.utils.checkpoint.checkpoint
    _same(_gradients(model, x, lambda: again(lambda: output_of(model, x), use_reentrant=False)), expected)


def _gradients(model: nn.Module, x: Tensor, run: Any) -> list[Tensor | None]:
    model.zero_grad()
    run().square().sum().backward()
    return [p.grad for p in model.parameters()]


def _same(found: list[Tensor | None], expected: list[Tensor | None]) -> None:
    for gradient, other in zip(found, expected, strict=True):
        assert (gradient is None) == (other is None)
        if gradient is not None:
            torch.testing.assert_close(gradient, other, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def check_saved(model: nn.Module, plain: nn.Module, place: Place, layer: Any) -> None:
    """Saved and loaded as the model's library does it, with the layers inserted again in between."""
    x = place.inputs(2, TIME, 0)
    expected = output_of(model, x)
    wrapped = hasattr(getattr(model, "inner", None), "save_pretrained")
    owner, fresh = (model.inner, plain.inner) if wrapped else (model, plain)
    with tempfile.TemporaryDirectory() as folder:
        if hasattr(owner, "save_pretrained"):
            owner.save_pretrained(folder)
            same = {"experts_implementation": "eager"} if hasattr(owner.config, "num_local_experts") else {}
            fresh = type(fresh).from_pretrained(folder, dtype=torch.float64, **same)  # without the layers
            layers = {name: value for name, value in owner.state_dict().items() if ".dsp_" in name}
            save_file(layers, Path(folder) / "layers.safetensors")  # whose names transformers may change
            saved = load_file(Path(folder) / "layers.safetensors")
        else:
            torch.save(owner.state_dict(), Path(folder) / "model.pt")
            saved = torch.load(Path(folder) / "model.pt", weights_only=True)
    where = place.where.removeprefix("inner.") if wrapped else place.where
    insert(fresh, where, lambda _: layer(place), **place.options)
    missing, unexpected = fresh.load_state_dict(saved, strict=False)
    assert not unexpected
    assert not [name for name in missing if ".dsp_" in name]
    if wrapped:
        plain.inner = fresh
    torch.testing.assert_close(
        output_of(plain if wrapped else fresh.eval(), x), expected, rtol=1e-9, atol=1e-9
    )
