"""Powers of two: sizes of transforms and of tiles."""

__all__ = ["power_of_two"]


def power_of_two(least: int) -> int:
    """The smallest power of two that is at least `least`, a number of at least 1."""
    return 1 << (least - 1).bit_length()
