"""Powers of two: sizes of transforms and of tiles."""

__all__ = ["power_of_two"]


def power_of_two(least: int) -> int:
    """The smallest power of two that is at least a number, which is 1 or more."""
    return 1 << (least - 1).bit_length()
