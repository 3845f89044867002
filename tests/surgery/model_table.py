"""Write docs/models_table.md: what holds for layers inserted into models that nobody here wrote.

python -m tests.surgery.model_table > docs/models_table.md
"""

import copy
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch import FIR, Chain, LFORouting, Multirate, fold, insert, remove, streaming
from dsptorch.testing import assert_causal
from dsptorch.testing._engine.run import output_of
from tests import zoo
from tests.surgery.model_places import PLACES, TIME, WIDTH, Place

HEAD = """\
# Models and what holds for layers in them

Written by `python -m tests.surgery.model_table`, and kept true by `tests/surgery/test_model_table.py`. Small models
with random weights, in float64; the layer is `Chain(Multirate, LFORouting)`, or centred filters where the model is an
encoder. **insert**: copies do the same, and a plain checkpoint loads. **identity**: inserted with `identity=True` the
output is the same in every bit. **trains**: 20 steps of AdamW lower the loss, and move the layers. **streams**: in
chunks and token by token, on the model's own cache, it gives the numbers of the whole. **padding**: a padded row gives
the numbers of the row alone. **fold**: `fold` gives the same numbers. **export**: `torch.export`. **causal**:
`assert_causal`. **remove**: restores the model in every bit.
"""


def built(place: Place, **options: Any) -> nn.Module:
    """The model with the layer in it, every parameter moved away from its first value."""
    torch.manual_seed(0)
    model = place.build()
    insert(model, place.where, lambda _: layer(place), **place.options, **options)
    generator = torch.Generator().manual_seed(1)
    if not options:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model.double().eval()


def layer(place: Place) -> Chain:
    if place.causal:
        return Chain(Multirate(WIDTH), LFORouting(WIDTH))
    return Chain(FIR(WIDTH, 3, init="lowpass", causal=False), Multirate(WIDTH, causal=False))


def close(y: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(y, expected, rtol=1e-9, atol=1e-9)


def check_insert(place: Place) -> str:
    model, plain = built(place), place.build()
    added = model.state_dict().keys() - plain.state_dict().keys()
    assert added
    found = model.load_state_dict(plain.state_dict(), strict=False)
    assert not found.unexpected_keys
    assert set(found.missing_keys) == added
    copied = copy.deepcopy(model)
    x = place.inputs(2, TIME, 0)
    with torch.no_grad():
        close(output_of(copied, x), output_of(model, x))
    return "ok"


def check_identity(place: Place) -> str:
    torch.manual_seed(0)
    model = place.build().double().eval()
    x = place.inputs(2, TIME, 0)
    with torch.no_grad():
        before = output_of(model, x)
        insert(model, place.where, lambda _: layer(place), identity=True, **place.options)
        assert torch.equal(output_of(model.double(), x), before)
    return "ok"


def check_trains(place: Place) -> str:
    model = built(place, identity=True).train()
    x = place.inputs(4, TIME, 0)
    with torch.no_grad():
        target = torch.randn(
            output_of(model, x).shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
        )
    inserted = {name: p for name, p in model.named_parameters() if ".dsp_" in name}
    before = {name: p.detach().clone() for name, p in inserted.items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        loss = (output_of(model, x) - target).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    moved = [name for name, p in inserted.items() if not torch.equal(p, before[name])]
    assert len(moved) > len(inserted) / 2, moved
    return "ok"


def check_streams(place: Place) -> str:
    if not place.causal:
        return "looks ahead"
    if place.no_stream:
        return place.no_stream
    model, x = built(place), place.inputs(2, TIME, 0)
    with torch.no_grad():
        whole = output_of(model, x)
        with streaming(model):
            cache = model.empty_cache() if hasattr(model, "empty_cache") else None
            outputs = []
            for chunk in x.split([5, 1, 1, TIME - 7], 1):
                if isinstance(cache, list):
                    outputs.append(model(chunk, cache))
                    continue
                output = model(chunk, past_key_values=cache, use_cache=True)
                cache = output.past_key_values
                outputs.append(output.logits)
    close(torch.cat(outputs, 1), whole)
    return "ok"


def check_padding(place: Place) -> str:
    if place.padded is None or place.alone:
        return place.alone or "takes no mask"
    model, x = built(place), place.inputs(2, TIME, 0)
    real = torch.ones(2, TIME, dtype=torch.bool)
    on_the_left = place.causal
    kept = slice(4, None) if on_the_left else slice(0, TIME - 4)
    real[0] = False
    real[0, kept] = True
    with torch.no_grad():
        y = output_of(lambda x: place.padded(model, x, real), x)
        alone = output_of(lambda x: place.padded(model, x, torch.ones_like(real[:1, kept])), x[:1, kept])
    close(y[:1, kept][:, : alone.shape[1]], alone)
    return "ok"


def check_fold(place: Place) -> str:
    model, x = built(place), place.inputs(2, TIME, 0)
    with torch.no_grad():
        close(output_of(fold(model), x), output_of(model, x))
    return "ok"


def check_export(place: Place) -> str:
    if place.no_export:
        return place.no_export
    model, x = built(place), place.inputs(2, TIME, 0)
    keywords = {"use_cache": False} if place.cache and not hasattr(model, "empty_cache") else {}
    with torch.no_grad():
        program = torch.export.export(model, (x,), keywords).module()
        close(output_of(lambda x: program(x, **keywords), x), output_of(model, x))
    return "ok"


def check_causal(place: Place) -> str:
    if not place.causal:
        return "looks ahead"
    model = built(place)
    x = place.inputs(1, TIME, 0)
    assert_causal(model, x, vocab_size=None if x.is_floating_point() else zoo.VOCABULARY)
    return "ok"


def check_remove(place: Place) -> str:
    torch.manual_seed(0)
    model = place.build().double().eval()
    x = place.inputs(2, TIME, 0)
    with torch.no_grad():
        before = output_of(model, x)
    keys = list(model.state_dict())
    attributes = [
        (sorted(vars(m)), len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()
    ]
    insert(model, place.where, lambda _: layer(place), **place.options)
    assert list(model.state_dict()) != keys
    remove(model)
    with torch.no_grad():
        assert torch.equal(output_of(model, x), before)
    assert list(model.state_dict()) == keys
    assert attributes == [
        (sorted(vars(m)), len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()
    ]
    return "ok"


CHECKS: dict[str, Callable[[Place], str]] = {
    "insert": check_insert,
    "identity": check_identity,
    "trains": check_trains,
    "streams": check_streams,
    "padding": check_padding,
    "fold": check_fold,
    "export": check_export,
    "causal": check_causal,
    "remove": check_remove,
}


def verdict(name: str, check: str) -> str:
    """What a check says: ok, why it does not apply, or how it fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return CHECKS[check](PLACES[name])
        except Exception as error:
            return f"**fails**: {type(error).__name__}: {' '.join(str(error).split())[:200]}"


def main() -> None:
    """Write the table."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "recipes"))
    print(HEAD)
    print("| model | " + " | ".join(CHECKS) + " |")
    print("|---|" + "---|" * len(CHECKS))
    for name in PLACES:
        print(f"| {name} | " + " | ".join(verdict(name, check) for check in CHECKS) + " |", flush=True)


if __name__ == "__main__":
    main()
