"""Write docs/models_table.md: what holds for layers inserted into models that nobody here wrote.

python -m tests.surgery.model_table > docs/models_table.md
"""

import copy
import inspect
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from dsptorch import FIR, Chain, LFORouting, Multirate, find, fold, insert, remove, streaming
from dsptorch.testing import assert_causal
from dsptorch.testing._engine.run import output_of
from tests import zoo
from tests.surgery import model_checks_hf as more
from tests.surgery.model_places import PLACES, TIME, WIDTH, Place
from tests.surgery.model_places_hf import PLACES_HF
from tests.surgery.models import check_unchanged, snapshot, through_pickle

HEAD = """\
# Models and what holds for layers in them

Written by `python -m tests.surgery.model_table`, and kept true by `tests/surgery/test_model_table.py`. Small models
with random weights, in float64; the layer is `Chain(Multirate, LFORouting)`, or centred filters where the model is an
encoder. **insert**: copies do the same, and a plain checkpoint loads. **identity**: inserted with `identity=True` the
output is the same in every bit. **trains**: 20 steps of AdamW lower the loss, and move the layers. **streams**: in
chunks and token by token, on the model's own cache, it gives the numbers of the whole. **padding**: a padded row gives
the numbers of the row alone. **fold**: `fold` gives the same numbers. **export**: `torch.export`. **causal**:
`assert_causal`. **remove**: restores the model in every bit. **beams**: beam search within `streaming`, from padded
prompts or sources, finds what it finds without a cache. **chat**: a second turn goes on from the cache of the first.
**checkpoints**: activation checkpoints, the model's own and around it, give the same gradients. **saved**: what the
model's own library saved loads again, and the layers with it.
"""
ROWS = {**PLACES, **PLACES_HF}


def put_in(place: Place, model: nn.Module, **changes: Any) -> list[str]:
    """Insert, with a proof that the layers leave each row to itself."""
    options = {"example": place.inputs(3, TIME, 9), **place.options, **changes}
    return insert(model, place.where, lambda _: layer(place), **options)


def plain(place: Place) -> nn.Module:
    torch.manual_seed(0)
    return place.build().double().eval()


def built(place: Place) -> nn.Module:
    """The model with the layer in it, every parameter moved away from its first value."""
    model = plain(place)
    put_in(place, model)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model


def layer(place: Place) -> Chain:
    if place.causal:
        return Chain(Multirate(WIDTH), LFORouting(WIDTH)).double()
    return Chain(FIR(WIDTH, 3, init="lowpass", causal=False), Multirate(WIDTH, causal=False)).double()


def inserted(model: nn.Module) -> dict[str, nn.Module]:
    return find(model, lambda name, _: name.endswith((".dsp_before", ".dsp_after")))


def close(y: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(y, expected, rtol=tolerance, atol=tolerance)


def check_insert(place: Place) -> None:
    model, again, bare, x = built(place), plain(place), plain(place), place.inputs(2, TIME, 0)
    put_in(place, again)
    again.load_state_dict(model.state_dict(), strict=True)
    with torch.no_grad():
        assert torch.equal(output_of(again, x), output_of(model, x))
    for name, part in bare.named_modules():  # transformers reads the signatures
        same = model.get_submodule(name)
        assert type(same).__qualname__ == type(part).__qualname__  # parametrized classes are made anew
        assert inspect.signature(same.forward) == inspect.signature(part.forward)
    old = bare.state_dict()
    added = model.state_dict().keys() - old.keys()
    assert added
    found = model.load_state_dict(old, strict=False)
    assert not found.unexpected_keys
    assert set(found.missing_keys) == added
    check_copy(place, copy.deepcopy)
    if not any(map(is_parametrized, bare.modules())):  # torch refuses to pickle those
        check_copy(place, through_pickle)


def check_copy(place: Place, make_copy: Callable[[nn.Module], nn.Module]) -> None:
    """The copy gives the same numbers, and has layers of its own."""
    model, x = built(place), place.inputs(2, TIME, 0)
    with torch.no_grad():
        expected = output_of(model, x)
        twin = make_copy(model)
        assert torch.equal(output_of(twin, x), expected)
        for part in inserted(twin).values():
            for parameter in part.parameters():
                parameter.zero_()
        assert not torch.equal(output_of(twin, x), expected)
        assert torch.equal(output_of(model, x), expected)
        assert remove(twin) == remove(model)
        assert torch.equal(output_of(twin, x), output_of(model, x))


def check_identity(place: Place, **changes: Any) -> None:
    x = place.inputs(2, TIME, 0)
    for training in (True, False):
        model = plain(place).train(training)
        with torch.no_grad():
            before = output_of(model, x)
            names = put_in(place, model, **{"identity": True, **changes})
            assert torch.equal(output_of(model, x), before)
            for name in names:
                model.get_submodule(name).gain.fill_(0.7)
            assert not torch.equal(output_of(model, x), before)


def check_trains(place: Place) -> None:
    model, x = plain(place).train(), place.inputs(4, TIME, 0)
    put_in(place, model, identity=True)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(2)
        target = torch.randn(output_of(model, x).shape, dtype=torch.float64, generator=generator)
    parameters = {name: p for name, p in model.named_parameters() if ".dsp_" in name}
    before = {name: p.detach().clone() for name, p in parameters.items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        loss = (output_of(model, x) - target).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    moved = [name for name, p in parameters.items() if not torch.equal(p, before[name])]
    assert len(moved) > len(parameters) / 2, moved


@torch.no_grad()
def check_streams(place: Place) -> None:
    model, x = built(place), place.inputs(2, TIME, 0)
    whole, outputs = output_of(model, x), []
    with streaming(model):
        cache = model.empty_cache() if hasattr(model, "empty_cache") else None
        for chunk in x.split(place.chunks, 1):
            if isinstance(cache, list):
                outputs.append(model(chunk, cache))
                continue
            output = model(chunk, **{place.cache: cache}, use_cache=True)
            cache = getattr(output, place.cache)
            outputs.append(output.logits)
    close(torch.cat(outputs, 1), whole, place.close)


@torch.no_grad()
def check_padding(place: Place) -> None:
    model, x = built(place), place.inputs(2, TIME, 0)
    left = place.causal and not place.right
    kept = slice(4, None) if left else slice(0, TIME - 4)
    real = torch.ones(2, TIME, dtype=torch.bool)
    real[0] = False
    real[0, kept] = True
    y = output_of(lambda x: place.padded(model, x, real), x)
    alone = output_of(lambda x: place.padded(model, x, torch.ones_like(real[:1, kept])), x[:1, kept])
    close(y[:1, kept][:, : alone.shape[1]], alone)


@torch.no_grad()
def check_fold(place: Place) -> None:
    model, x = built(place), place.inputs(2, TIME, 0)
    close(output_of(fold(model), x), output_of(model, x))


@torch.no_grad()
def check_export(place: Place) -> None:
    model, x = built(place), place.inputs(2, TIME, 0)
    keywords = {"use_cache": False} if hasattr(model, "generate") else {}
    program = torch.export.export(model, (x,), keywords).module()
    close(output_of(lambda x: program(x, **keywords), x), output_of(model, x))


def check_causal(place: Place) -> None:
    x = place.inputs(1, TIME, 0)
    assert_causal(built(place), x, vocab_size=None if x.is_floating_point() else zoo.VOCABULARY)


def check_remove(place: Place, take_out: Callable[[nn.Module], list[str]] = remove) -> None:
    model, x = plain(place), place.inputs(2, TIME, 0)
    before = snapshot(model, x)
    names = put_in(place, model)
    output_of(model, x)
    assert list(inserted(model)) == names
    assert take_out(model) == names
    check_unchanged(model, before, x)


def check_beams(place: Place) -> None:
    more.check_beams(built(place), place.inputs(2, TIME, 0))


def check_chat(place: Place) -> None:
    more.check_chat(built(place), place.inputs(2, TIME, 0))


def check_checkpoints(place: Place) -> None:
    more.check_checkpoints(built(place).train(), place.inputs(2, TIME, 0))


def check_saved(place: Place) -> None:
    more.check_saved(built(place), plain(place), place, layer)


ALL = [check_insert, check_identity, check_trains, check_streams, check_padding]
ALL += [check_fold, check_export, check_causal, check_remove]
ALL += [check_beams, check_chat, check_checkpoints, check_saved]
CHECKS: dict[str, Callable[[Place], None]] = {check.__name__.removeprefix("check_"): check for check in ALL}


def reasons(place: Place) -> dict[str, str]:
    """Why a check does not apply, if so."""
    looks_ahead = "" if place.causal else "looks ahead"
    generates = "" if place.cache and not place.no_stream else "does not generate"
    return {
        "streams": looks_ahead or place.no_stream,
        "padding": place.alone if place.padded else "takes no mask",
        "export": place.no_export,
        "causal": looks_ahead,
        "beams": looks_ahead or generates or place.no_beams,
        "chat": looks_ahead or generates or place.no_chat,
    }


def verdict(name: str, check: str) -> str:
    """What a check says: ok, why it does not apply, or how it fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            reason = reasons(ROWS[name]).get(check)
            if not reason:
                CHECKS[check](ROWS[name])
            return reason or "ok"
        except Exception as error:
            return f"**fails**: {type(error).__name__}: {' '.join(str(error).split())[:200]}"


def main() -> None:
    """Write the table."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "recipes"))
    print(HEAD)
    print("| model | " + " | ".join(CHECKS) + " |")
    print("|---|" + "---|" * len(CHECKS))
    for name in ROWS:
        print(f"| {name} | " + " | ".join(verdict(name, check) for check in CHECKS) + " |", flush=True)


if __name__ == "__main__":
    main()
