"""Sizes of transforms and of tiles: powers of two, and few times a power of two."""

__all__ = ["fast_length", "power_of_two"]

_FACTORS = (1, 3, 5, 9, 15, 25)


def power_of_two(least: int) -> int:
    """The smallest power of two that is at least `least`, a number of at least 1."""
    return 1 << (least - 1).bit_length()


def fast_length(least: int) -> int:
    """The smallest length of a fast transform that is at least a number, which is 1 or more.

    Fast lengths are 1, 3, 5, 9, 15 or 25 times a power of two: at most 1/4 more than any number, and nearly as fast per
    sample as a power of two. (Lengths with more factors of 3 and 5 and fewer of 2 take longer than the next power.)
    """
    return min(factor * power_of_two(-(-least // factor)) for factor in _FACTORS)
