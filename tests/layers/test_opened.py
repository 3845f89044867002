"""`Opened`: a context is seen by its own thread and coroutine, and by nothing once it has been left."""

import asyncio
import threading
from contextlib import contextmanager

import pytest

from dsptorch.layers.opened import Opened


class Restored:
    """The planted bug: one place for everybody, where whoever leaves puts back what was there before."""

    def __init__(self):
        self.entries = ()

    def __call__(self):
        return self.entries

    in_thread = __call__

    @contextmanager
    def during(self, value):
        before = self.entries
        self.entries = (*before, value)
        try:
            yield
        finally:
            self.entries = before


def check_nesting(opened):
    with opened.during(1), opened.during(2):
        assert opened() == opened.in_thread() == (1, 2)
    assert opened() == opened.in_thread() == ()


def check_threads(opened):
    seen = []
    with opened.during(1):
        thread = threading.Thread(target=lambda: seen.extend([opened(), opened.in_thread()]))
        thread.start()
        thread.join()
        assert opened() == (1,)
    assert seen == [(), ()]


def check_coroutines(opened):
    """Two that overlap, the first of which ends first; and a third that opens nothing."""
    seen = {}

    async def opens(value, start):
        await asyncio.sleep(start)
        with opened.during(value):
            await asyncio.sleep(0.02)
            seen[value] = opened()
        seen[-value] = opened()

    async def looks():
        await asyncio.sleep(0.015)
        seen[0] = opened()

    async def main():
        await asyncio.gather(opens(1, 0.0), opens(2, 0.01), looks())

    asyncio.run(main())
    assert seen == {1: (1,), 2: (2,), -1: (), -2: (), 0: ()}


def check_generators(opened):
    def suspended(value):
        with opened.during(value):
            yield

    first, second = suspended(1), suspended(2)
    next(first)
    next(second)
    first.close()
    assert opened() == (2,)
    second.close()
    assert opened() == opened.in_thread() == ()


def check_left_elsewhere(opened):
    """A context that is left in another thread is left for good."""
    context = opened.during(1)
    context.__enter__()
    thread = threading.Thread(target=lambda: context.__exit__(None, None, None))
    thread.start()
    thread.join()
    assert opened() == opened.in_thread() == ()


CHECKS = [check_threads, check_coroutines, check_generators]


@pytest.mark.parametrize("check", [check_nesting, *CHECKS, check_left_elsewhere])
def test_a_context_is_seen_where_it_is_open(check):
    check(Opened("test"))


@pytest.mark.parametrize("check", CHECKS)
def test_one_place_for_everybody_is_caught(check):
    check_nesting(Restored())
    with pytest.raises(AssertionError):
        check(Restored())
