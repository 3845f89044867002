"""What is remembered, until a weight has another value; and where nothing is remembered."""

import copy
import pickle

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dsptorch.functional.memo import Memo


class Counted:
    """Twice the weight times a number, and how often that was computed."""

    def __init__(self, memo=None):
        self.memo, self.weight, self.factor, self.times = memo or Memo(), torch.ones(3), 2.0, 0

    def compute(self):
        self.times += 1
        return self.factor * self.weight

    def __call__(self):
        return self.memo(self.compute, [self.weight, self.factor])


class ByVersion(Memo):
    """A planted bug: the same tensor in the same version is taken for the same value."""

    def __call__(self, compute, weights):
        key = [(id(w), getattr(w, "_version", None)) for w in weights]
        if self._kept is None or self._kept[0] != key:
            self._kept = key, compute()
        return self._kept[1]


def _in_place(counted):
    counted.weight.mul_(3)


def _by_data(counted):
    counted.weight.data.mul_(3)


def _by_numpy(counted):
    counted.weight.numpy()[1] = 7


def _another_tensor(counted):
    counted.weight = counted.weight + 1


def _a_number(counted):
    counted.factor = 5.0


def _to_nan(counted):
    counted.weight.data[0] = float("nan")


def _by_fused_optimizer(counted):
    with torch.enable_grad():
        counted.weight.requires_grad_().grad = torch.ones(3)
    torch.optim.Adam([counted.weight], lr=0.1, fused=True).step()


def _of_another_dtype(counted):
    counted.weight = counted.weight.double()


CHANGES = [
    _in_place,
    _by_data,
    _by_numpy,
    _another_tensor,
    _a_number,
    _to_nan,
    _by_fused_optimizer,
    _of_another_dtype,
]


def check_change(memo, change):
    with torch.no_grad():
        counted = Counted(memo)
        first = counted()
        assert counted() is first
        assert counted.times == 1
        change(counted)
        now = counted()
        assert now.dtype == counted.weight.dtype
        assert torch.equal(now.nan_to_num(), (counted.factor * counted.weight).nan_to_num())
        assert now.isnan().equal(counted.weight.isnan())


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_another_value_is_computed_again(change):
    check_change(Memo(), change)


@pytest.mark.parametrize("change", [_by_data, _by_numpy, _to_nan], ids=lambda change: change.__name__)
def test_to_compare_versions_is_caught(change):
    with pytest.raises(AssertionError):
        check_change(ByVersion(), change)


def test_an_equal_value_is_known():
    with torch.no_grad():
        counted = Counted()
        first = counted()
        counted.weight = counted.weight.clone()
        assert counted() is first
        counted.weight.mul_(3)
        counted.weight.div_(3)
        assert counted() is first
        assert counted.times == 1


def test_what_is_kept_is_no_view_of_the_weights():
    with torch.no_grad():
        counted = Counted()
        counted()
        counted.weight.zero_()
        assert not counted().any()


def test_nan_is_never_known():
    with torch.no_grad():
        counted = Counted()
        counted.weight[0] = float("nan")
        counted(), counted()
        assert counted.times == 2


class _Watches(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


class _Subclass(torch.Tensor):
    pass


def _with_grad(counted):
    with torch.enable_grad():
        return counted()


def _in_vmap(counted):
    return torch.func.vmap(lambda x: counted() + x)(torch.ones(2))


def _in_jvp(counted):
    return torch.func.jvp(
        lambda w: counted.memo(lambda: counted.compute() * w, [w]), (torch.ones(3),) * 1, (torch.ones(3),)
    )


def _in_forward_ad(counted):
    with torch.autograd.forward_ad.dual_level():
        return counted()


def _in_grad(counted):
    return torch.func.grad(lambda w: (counted() * w).sum())(torch.ones(3))


def _watched(counted):
    with _Watches():
        return counted()


def _of_a_subclass(counted):
    counted.weight = counted.weight.as_subclass(_Subclass)
    return counted()


def _on_meta(counted):
    counted.weight = counted.weight.to("meta")
    return counted()


@pytest.mark.parametrize(
    "use",
    [_with_grad, _in_vmap, _in_jvp, _in_forward_ad, _in_grad, _watched, _of_a_subclass, _on_meta],
    ids=lambda use: use.__name__,
)
def test_nothing_is_remembered_where_that_could_be_wrong(use):
    with torch.no_grad():
        counted = Counted()
        use(counted), use(counted)
        assert counted.times == 2
        assert counted.memo._kept is None


def test_what_was_remembered_is_not_used_where_there_is_a_derivative():
    counted = Counted()
    with torch.no_grad():
        counted()
    counted.weight.requires_grad_()
    assert torch.autograd.grad(counted().sum(), counted.weight)[0].tolist() == [2, 2, 2]
    with torch.autograd.forward_ad.dual_level(), torch.no_grad():
        counted.weight = torch.autograd.forward_ad.make_dual(torch.ones(3), torch.ones(3))
        tangent = torch.autograd.forward_ad.unpack_dual(counted()).tangent
        assert tangent.tolist() == [2, 2, 2]


def test_a_compiled_function_computes_in_its_graph():
    torch._dynamo.reset()
    memo, weight = Memo(), torch.ones(3)
    compiled = torch.compile(
        lambda x: x + memo(lambda: 2 * weight, [weight]), fullgraph=True, backend="aot_eager"
    )
    with torch.no_grad():
        assert compiled(torch.zeros(3)).tolist() == [2, 2, 2]
        weight.data.mul_(2)
        assert compiled(torch.zeros(3)).tolist() == [4, 4, 4]
    assert memo._kept is None


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda memo: pickle.loads(pickle.dumps(memo))])  # noqa: S301
def test_copies_remember_nothing(copied):
    with torch.no_grad():
        counted = Counted()
        first = counted()
        other = Counted(copied(counted.memo))
        assert other() is not first
        assert other.times == 1
        assert counted() is first


def test_what_is_kept_is_no_view_of_a_weight():
    memo, weight = Memo(), torch.tensor([1.0, 2.0])
    with torch.no_grad():
        memo(lambda: weight.view(1, 2), [weight])
        other = weight.clone()
        weight.mul_(10)
        assert memo(lambda: other.view(1, 2), [other]).tolist() == [[1.0, 2.0]]


def test_nothing_is_kept_in_inference_mode():
    memo, weight = Memo(), torch.ones(1)
    with torch.inference_mode():
        memo(lambda: 2 * weight, [weight])
    with torch.no_grad():
        assert not memo(lambda: 2 * weight, [weight]).is_inference()


def test_fewer_weights_are_other_weights():
    memo, one, two = Memo(), torch.ones(1), torch.zeros(1)
    with torch.no_grad():
        memo(lambda: "both", [one, two])
        assert memo(lambda: "one", [one]) == "one"
