"""Places are named by globs, types and predicates."""

import fnmatch
import re

import pytest
from hypothesis import strategies as st
from torch import nn

from dsptorch import find
from dsptorch.surgery.find import _glob_to_regex
from tests.strategies import fails, holds
from tests.surgery.models import Sublayer, model


@pytest.mark.parametrize(
    ("glob", "names"),
    [
        ("*", ["blocks", "recurrent", "head"]),
        ("blocks.*.mlp", ["blocks.0.mlp", "blocks.1.mlp", "blocks.2.mlp"]),
        ("**.mlp", ["blocks.0.mlp", "blocks.1.mlp", "blocks.2.mlp"]),
        ("blocks.[02].attn", ["blocks.0.attn", "blocks.2.attn"]),
        ("blocks.[!0].attn", ["blocks.1.attn", "blocks.2.attn"]),
        ("blocks.[!0-1].attn", ["blocks.2.attn"]),
        ("h*d", ["head"]),
        ("recurrent.**", ["recurrent.gru"]),
    ],
)
def test_globs(glob, names):
    m = model()
    found = find(m, glob)
    assert list(found) == names
    assert all(found[name] is m.get_submodule(name) for name in names)


def test_types_and_predicates():
    m = model()
    assert list(find(m, Sublayer)) == [f"blocks.{i}.{part}" for i in range(3) for part in ("attn", "mlp")]
    assert list(find(m, nn.modules.rnn.RNNBase)) == ["recurrent.gru"]
    assert list(find(m, lambda name, _: name.endswith("mlp.norm") and "2" in name)) == ["blocks.2.mlp.norm"]
    assert "" not in find(m, lambda name, module: True)


PARTS = st.lists(
    st.sampled_from(["a", "b", ".", "*", "**", "?", "[ab]", "[!a]"]), min_size=1, max_size=5
).map("".join)


def naive_match(glob, name):
    """By trying every way to share out the name."""
    if not glob:
        return not name
    if glob.startswith("**"):
        return any(naive_match(glob[2:], name[i:]) for i in range(len(name) + 1))
    if glob[0] == "*":
        length = len(name.split(".")[0])
        return any(naive_match(glob[1:], name[i:]) for i in range(length + 1))
    if glob[0] == "[":
        fits = name[:1] in ("a", "b") if glob.startswith("[ab]") else name[:1] not in ("", ".", "a")
        return fits and naive_match(glob[4:], name[1:])
    if glob[0] == "?":
        return name[:1] not in ("", ".") and naive_match(glob[1:], name[1:])
    return name[:1] == glob[0] and naive_match(glob[1:], name[1:])


def check_glob(matches, glob, name):
    assert matches(glob, name) == naive_match(glob, name)


def matches(glob, name):
    return bool(re.fullmatch(_glob_to_regex(glob), name))


def test_globs_mean_what_they_say():
    names = st.text("ab.", max_size=7)
    holds(lambda *case: check_glob(matches, *case), PARTS, names, times=2)
    another = lambda glob, name: fnmatch.fnmatchcase(name, glob)  # noqa: E731
    fails(lambda *case: check_glob(another, *case), PARTS, names, times=2)


@pytest.mark.parametrize(
    ("module", "where", "kind", "message"),
    [
        (
            model(),
            "layers.*",
            ValueError,
            r"nothing in Model matches 'layers\.\*'; its submodules are: blocks, blocks\.0",
        ),
        (model(), nn.Conv1d, ValueError, r"nothing in Model matches .*Conv1d.*(head|\.\.\.)"),
        (nn.Linear(1, 1), "*", ValueError, "its submodules are: none"),
        (model(), 3, TypeError, "glob on names, a type, or a predicate.*got 3"),
        (model(), None, TypeError, "glob on names, a type, or a predicate.*got None"),
        (model(), ["head"], TypeError, r"glob on names, a type, or a predicate.*got \['head'\]"),
    ],
)
def test_what_names_nothing_is_refused(module, where, kind, message):
    with pytest.raises(kind, match=message):
        find(module, where)
