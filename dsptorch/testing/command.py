"""The command that tests a model given by name."""

import argparse
import importlib
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.testing._engine.arguments import check_rtol, check_seed
from dsptorch.testing._engine.run import Model
from dsptorch.testing._engine.trials import compared_outputs
from dsptorch.testing.causality import assert_causal

_DESCRIPTION = """\
Test that a model does not see the future.

  python -m dsptorch.testing mypackage.models:build --vocab-size 256
  python -m dsptorch.testing torch.nn:Identity --channels 8

The factory is a function or class that is called without arguments, from the working directory or what is
installed; it returns a model, or (model, example). Exit code: 0 causal, 1 not causal, 2 it could not be tested.
"""
_OURS = Path(__file__).parent


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
        print(_verdict(options))
    except AssertionError as error:
        print(f"{options.factory}: {error}")
        return 1
    except _RefusalError as error:
        print(f"not tested: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("not tested: interrupted", file=sys.stderr)
        return 2
    return 0


def _verdict(options: argparse.Namespace) -> str:
    """The words for a causal model.

    Raises:
        AssertionError: If it is not causal.
        _RefusalError: If it cannot be tested.
    """
    try:
        check_seed(options.seed)
        check_rtol(options.rtol)
    except ValueError as error:
        raise _RefusalError(f"--{error}") from error
    torch.manual_seed(options.seed)
    model, example = _built(options.factory)
    example = _example(options, example)
    signal = example.is_floating_point() or example.is_complex()
    what = f"{'a signal' if signal else 'token ids'} of shape {tuple(example.shape)}"
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
        names = compared_outputs(model, example)
    except AssertionError:
        raise
    except (Exception, SystemExit) as error:
        _show_model_frames(error.__cause__ or error)
        raise _RefusalError(
            f"{_brief(error).replace(':', f' on {what}:', 1)}. Check --vocab-size or --channels, and --time; "
            "or return (model, example), the model in a function that calls it as it must be called"
        ) from error
    return f"causal: {options.factory}, on {what}" + f", in its outputs {', '.join(names)}" * any(names)


def _show_model_frames(error: BaseException) -> None:
    """Print the traceback of an error within the model, from the model on; nothing for one of the check's own."""
    tb = error.__traceback__
    while tb is not None and _OURS in Path(tb.tb_frame.f_code.co_filename).parents:
        tb = tb.tb_next
    if tb is not None:
        traceback.print_exception(type(error), error, tb, chain=False)


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
    factory: Any = _run(
        lambda: importlib.import_module(module),
        f"expected a module that can be imported, got {module!r}:",
        "; run in its folder, or install it",
    )
    for part in attribute.split("."):
        if not hasattr(factory, part):
            raise _RefusalError(f"expected a factory in {module!r}, got {attribute!r}, which is not in it")
        factory = getattr(factory, part)
    if isinstance(factory, nn.Module) or not callable(factory):
        raise _RefusalError(
            f"expected {name} to be a function or class that is called without arguments, got "
            f"{type(factory).__name__}; write a function that returns it"
        )
    built = _run(factory, f"expected {name}() to build a model, got", "")
    model, example = built if isinstance(built, tuple) and len(built) == 2 else (built, None)
    if not callable(model) or not (example is None or isinstance(example, Tensor)):
        raise _RefusalError(
            f"expected {name}() to return a model or (model, example tensor), got {type(built).__name__}"
        )
    return model, example


def _run(function: Callable[[], Any], expected: str, cure: str) -> Any:
    """Run somebody's code that makes a model; where it fails, or leaves the process, say so in one sentence."""
    try:
        return function()
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [
            frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__
        ]
        where = f" in {Path(theirs[-1].filename).name}, line {theirs[-1].lineno}" if theirs else ""
        raise _RefusalError(f"{expected} {_brief(error)}{where}{cure}") from error


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _example(options: argparse.Namespace, given: Tensor | None) -> Tensor:
    if given is not None:
        return given
    for name, least in (("time", 2), ("batch", 1), ("vocab_size", 2), ("channels", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise _RefusalError(f"expected --{name.replace('_', '-')} of at least {least}, got {value}")
    generator = torch.Generator().manual_seed(options.seed)
    shape = (options.batch, options.time)
    try:
        if options.vocab_size is not None:
            return torch.randint(0, options.vocab_size, shape, generator=generator)
        if options.channels is not None:
            return torch.randn(*shape, options.channels, generator=generator)
    except (RuntimeError, OverflowError, TypeError) as error:
        raise _RefusalError(
            f"expected an example that fits into memory, got --batch {options.batch} and --time {options.time}"
        ) from error
    raise _RefusalError(
        "the factory gives no example; say --vocab-size N for a model on token ids, or --channels N for one on "
        "signals, or return (model, example)"
    )
