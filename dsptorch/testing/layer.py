"""Check the whole contract of a layer, in one call or as a class of tests."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from dsptorch.layers import Layer
from dsptorch.testing.contract import CONTRACT, NotApplicable, subject_of


def check_layer(
    layer: Layer,
    example: Tensor | None = None,
    *,
    factory: Callable[[], Layer] | None = None,
    skip: Iterable[str] = (),
    backend: str = "aot_eager",
) -> dict[str, str]:
    """Check everything that a layer promises, and report every promise that it breaks.

    The checks are metadata, shapes, lookahead, receptive_field, period, length, streaming, segments, state, mutation,
    gradients, dtypes, serializes, resets, compiles and exports; `dsptorch.testing.contract` describes each. They use
    the layer's own declarations (`d_model`, `lookahead`, `period`, `receptive_field`), and run on a copy in float64
    with jittered parameters, so that a gain that starts at 0 hides nothing. The layer is not changed.

    Args:
        layer: A `dsptorch.Layer`.
        example: A signal, (batch, time, d_model). None: noise, two rows, long enough for the period and the
            receptive field, 160 samples at most.
        factory: Builds such a layer. If given, the state dict must fit the layer that it builds.
        skip: Names of checks to skip.
        backend: The backend of `torch.compile`; "inductor" takes much longer.

    Returns:
        A dictionary from the name of each check to "ok" or the reason why it does not apply.

    Raises:
        AssertionError: If the layer breaks its contract: one line for each check that fails.
        ValueError: If there is no such check to skip.

    Example:
        >>> from dsptorch import FIR
        >>> verdicts = check_layer(FIR(4), skip=["compiles", "exports"])
        >>> verdicts["period"], verdicts["compiles"]
        ('ok', 'left out')
        >>> class Shorter(FIR):
        ...     receptive_field = 3
        >>> check_layer(Shorter(4), skip=["compiles", "exports", "serializes"])
        Traceback (most recent call last):
        AssertionError: Shorter breaks 1 of 16 promises:
        - receptive_field: the output at time ... depends on inputs before time ...
    """
    left_out = _check_names(skip)
    subject = subject_of(layer, example, factory, backend)
    verdicts, broken = {}, {}
    for name, check in CONTRACT.items():
        if name in left_out:
            verdicts[name] = "left out"
            continue
        try:
            check(subject)
        except NotApplicable as reason:
            verdicts[name] = str(reason)
        except AssertionError as error:
            broken[name] = str(error)
        except Exception as error:
            broken[name] = f"{type(error).__name__}: {error}"
        else:
            verdicts[name] = "ok"
    if broken:
        lines = "".join(f"\n- {name}: {message}" for name, message in broken.items())
        raise AssertionError(
            f"{type(layer).__name__} breaks {len(broken)} of {len(CONTRACT)} promises:{lines}"
        )
    return verdicts


def contract_tests(
    factory: Callable[[], Layer],
    example: Tensor | None = None,
    *,
    skip: Iterable[str] = (),
    backend: str = "aot_eager",
) -> type:
    """Make a pytest class of tests of a layer's contract, with one method for each check of `check_layer`.

    Checks that do not apply are skipped, with the reason.

    Args:
        factory: Builds the layer; it is called for every test.
        example: See `check_layer`.
        skip: See `check_layer`. Skipped checks get no method.
        backend: See `check_layer`.

    Raises:
        ImportError: If pytest is not installed.
        ValueError: If there is no such check to skip.

    Example:
        In a test file, one line (or a base class, `class TestMine(contract_tests(...)):`, to add your own tests):

        >>> from dsptorch import FIR
        >>> TestMyFilter = contract_tests(lambda: FIR(8, 5, init="lowpass"))
        >>> TestMyFilter().test_streaming()
        >>> sorted(name for name in dir(TestMyFilter) if name.startswith("test_"))[:3]
        ['test_compiles', 'test_dtypes', 'test_exports']
    """
    try:
        import pytest  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("contract_tests needs pytest; pip install 'dsptorch[testing]'") from error
    left_out = _check_names(skip)

    def method_of(name: str) -> Callable[[Any], None]:
        def test(self: Any) -> None:
            try:
                CONTRACT[name](subject_of(factory(), example, factory, backend))
            except NotApplicable as reason:
                pytest.skip(str(reason))

        test.__name__ = f"test_{name}"
        test.__doc__ = CONTRACT[name].__doc__
        return test

    methods = {f"test_{name}": method_of(name) for name in CONTRACT if name not in left_out}
    return type("ContractTests", (), {"__doc__": "The contract of a layer.", **methods})


def _check_names(skip: Iterable[str]) -> set[str]:
    names = {skip} if isinstance(skip, str) else set(skip)
    unknown = names - CONTRACT.keys()
    if unknown:
        raise ValueError(f"skip must name some of {', '.join(CONTRACT)}, got {', '.join(sorted(unknown))}")
    return names
