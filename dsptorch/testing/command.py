"""The command that tests a model given by name."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.testing._engine.run import Model
from dsptorch.testing.causality import assert_causal

_DESCRIPTION = """\
Test that a model does not see the future.

  python -m dsptorch.testing mypackage.models:build --vocab-size 256
  python -m dsptorch.testing torch.nn:Identity --channels 8

The factory is a function or class that is called without arguments, from the working directory or what is
installed; it returns a model, or (model, example). Exit code: 0 causal, 1 not causal, 2 it could not be tested.
"""


class _RefusalError(Exception):
    """The reason why the command cannot test."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and print the verdict.

    Args:
        arguments: The arguments of the command line; None takes those of the process.

    Returns:
        The exit code: 0 if the model is causal, 1 if not, 2 if it could not be tested.

    Example:
        >>> main(["torch.nn:Identity", "--channels", "8"])
        causal: torch.nn:Identity, on a signal of shape (1, 64, 8)
        0
    """
    options = _parser().parse_args(arguments)
    try:
        torch.manual_seed(options.seed)
        model, example = _built(options.factory)
        example = _example(options, example)
    except _RefusalError as error:
        print(f"not tested: {error}", file=sys.stderr)
        return 2
    what = f"{'a signal' if example.is_floating_point() else 'token ids'} of shape {tuple(example.shape)}"
    try:
        assert_causal(
            model,
            example,
            vocab_size=options.vocab_size,
            rtol=options.rtol,
            seed=options.seed,
            train_mode=not options.no_train_mode,
            jitter=not options.no_jitter,
            thorough=options.thorough,
        )
    except AssertionError as error:
        print(f"{options.factory}: {error}")
        return 1
    except Exception as error:
        print(
            f"not tested: {type(error).__name__} on {what}: {error}. Check --vocab-size or --channels, and --time; "
            "or return (model, example), the model in a function that calls it as it must be called",
            file=sys.stderr,
        )
        return 2
    print(f"causal: {options.factory}, on {what}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dsptorch.testing",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("factory", help="module:factory, as in mypackage.models:build")
    shape = parser.add_argument_group("the example, where the factory gives none")
    kind = shape.add_mutually_exclusive_group()
    kind.add_argument("--vocab-size", type=int, help="random token ids below this, (batch, time)")
    kind.add_argument("--channels", type=int, help="a random signal, (batch, time, channels)")
    shape.add_argument("--time", type=int, default=64, help="length (default 64)")
    shape.add_argument("--batch", type=int, default=1, help="rows, each of them tested (default 1)")
    parser.add_argument("--rtol", type=float, default=1e-6, help="relative change that counts as none (1e-6)")
    parser.add_argument("--seed", type=int, default=0, help="of the model, the example, the replacements (0)")
    parser.add_argument("--no-train-mode", action="store_true", help="test eval mode alone")
    parser.add_argument("--no-jitter", action="store_true", help="do not test a copy with other parameters")
    parser.add_argument("--thorough", action="store_true", help="every cut in each mode")
    return parser


def _built(name: str) -> tuple[Model, Tensor | None]:
    """The model that the factory makes, and its example if there is one."""
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise _RefusalError(f"expected module:factory, as in mypackage.models:build, got {name!r}")
    try:
        factory: Any = importlib.import_module(module)
    except ImportError as error:
        raise _RefusalError(
            f"expected a module that can be imported, got {module!r} ({error}); run in its folder, or install it"
        ) from error
    for part in attribute.split("."):
        if not hasattr(factory, part):
            raise _RefusalError(f"expected a factory in {module!r}, got {attribute!r}, which is not in it")
        factory = getattr(factory, part)
    if isinstance(factory, nn.Module) or not callable(factory):
        raise _RefusalError(
            f"expected {name} to be a function or class that is called without arguments, got "
            f"{type(factory).__name__}; write a function that returns it"
        )
    try:
        built = factory()
    except Exception as error:
        raise _RefusalError(
            f"expected {name}() to build a model, got {type(error).__name__}: {error}"
        ) from error
    model, example = built if isinstance(built, tuple) and len(built) == 2 else (built, None)
    if not callable(model) or not (example is None or isinstance(example, Tensor)):
        raise _RefusalError(
            f"expected {name}() to return a model or (model, example tensor), got {type(built).__name__}"
        )
    return model, example


def _example(options: argparse.Namespace, given: Tensor | None) -> Tensor:
    if given is not None:
        return given
    if options.time < 2 or options.batch < 1 or min(options.vocab_size or 2, options.channels or 1) < 1:
        raise _RefusalError(
            "expected --time of at least 2, and --batch, --channels, --vocab-size of at least 1"
        )
    generator = torch.Generator().manual_seed(options.seed)
    shape = (options.batch, options.time)
    if options.vocab_size:
        return torch.randint(0, options.vocab_size, shape, generator=generator)
    if options.channels:
        return torch.randn(*shape, options.channels, generator=generator)
    raise _RefusalError(
        "the factory gives no example; say --vocab-size N for a model on token ids, or --channels N for one on "
        "signals, or return (model, example)"
    )
