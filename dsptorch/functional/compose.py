"""Products of expressions, and what becomes simpler where two factors meet."""

from dsptorch.functional.nodes import AtRate, Delay, LowerRate, Node, Product


def compose(second: Node, first: Node) -> Node:
    """First `first`, then `second`: one list of factors, merged where they meet."""
    *rest, last = _factors(second)
    begin, *following = _factors(first)
    factors = (*rest, *_joined(last, begin), *following)
    return factors[0] if len(factors) == 1 else Product(factors)


def _factors(node: Node) -> tuple[Node, ...]:
    return node.factors if isinstance(node, Product) else (node,)


def _joined(second: Node, first: Node) -> tuple[Node, ...]:
    """Two neighbours: the identity vanishes, and what stands beside a hold runs at its lower rate."""
    if isinstance(first, LowerRate) and isinstance(second, AtRate) and first.factor == second.factor:
        return (LowerRate(compose(second.node, first.node), first.factor, first.prefilter),)
    if isinstance(second, LowerRate):
        return (LowerRate(second.node, second.factor, compose(second.prefilter, first)),)
    if isinstance(first, Delay) and first.delay == 0:
        return (second,)
    if isinstance(second, Delay) and second.delay == 0:
        return (first,)
    return second, first
