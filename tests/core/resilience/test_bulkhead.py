"""A bulkhead lets so many calls in and no more, counts each out again, and starts anew in a child."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time

import pytest

from flask_hardening.core.resilience import bulkhead as bulkheads
from flask_hardening.core.resilience.bulkhead import Bulkhead
from flask_hardening.core.resilience.errors import BulkheadFullError


def test_no_more_than_the_limit_come_in():
    """The call beyond the limit is refused at once; when one has left, another may come."""
    bulkhead = Bulkhead("billing", 2)
    with bulkhead:
        bulkhead.enter()
        assert bulkhead.under_way == 2
        with pytest.raises(BulkheadFullError, match="2 calls to 'billing' are under way"):
            bulkhead.enter()
        assert bulkhead.under_way == 2
        bulkhead.leave()
        with bulkhead:
            assert bulkhead.under_way == 2
    assert bulkhead.under_way == 0


def test_a_refused_block_is_not_counted_out():
    """Who never came in doesn't leave."""
    bulkhead = Bulkhead("billing", 1)
    with bulkhead:
        with pytest.raises(BulkheadFullError), bulkhead:
            raise AssertionError("came in")
        assert bulkhead.under_way == 1


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, asyncio.CancelledError])
def test_a_call_that_fails_leaves(error):
    """Whatever a call ends with, its place is free again, and the error goes on."""
    bulkhead = Bulkhead("billing", 1)
    with pytest.raises(error), bulkhead:
        raise error
    assert bulkhead.under_way == 0


def test_without_a_limit_nothing_is_counted(monkeypatch):
    """No limit costs nothing: not even the lock is touched."""
    bulkhead = Bulkhead("billing", None)
    monkeypatch.setattr(bulkhead, "_lock", None)
    with bulkhead, bulkhead:
        assert bulkhead.under_way == 0


def test_a_limit_of_none_at_all():
    """A limit of 0 closes the target."""
    with pytest.raises(BulkheadFullError):
        Bulkhead("billing", 0).enter()


def test_awaits_hold_their_place():
    """Tasks are in as long as their block runs, also while they wait."""

    async def work(bulkhead, go_on):
        with bulkhead:
            await go_on.wait()

    async def main():
        bulkhead, go_on = Bulkhead("billing", 3), asyncio.Event()
        tasks = [asyncio.ensure_future(work(bulkhead, go_on)) for _ in range(5)]
        await asyncio.sleep(0)
        assert bulkhead.under_way == 3
        go_on.set()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(end, BulkheadFullError) for end in ended) == 2
        assert bulkhead.under_way == 0

    asyncio.run(main())


class _SlowLimit(int):
    """Lets other threads run between being looked at and the call being counted."""

    __slots__ = ()

    def __gt__(self, other):
        time.sleep(0.001)
        return int(self) > other


def test_threads_never_exceed_it():
    """However threads come in between each other, no more than the limit are in."""
    bulkhead, refused = Bulkhead("billing", _SlowLimit(3)), []

    def work():
        try:
            bulkhead.enter()
        except BulkheadFullError:
            refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bulkhead.under_way == 3
    assert len(refused) == 9


def test_it_is_safe_against_being_interrupted():
    """A signal handler that makes a call while the count is changed doesn't wait for ever."""
    bulkhead = Bulkhead("billing", 1)
    with bulkhead._lock, bulkhead:
        assert bulkhead.under_way == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_starts_anew(exit_code_of_child):
    """Calls of the parent, and a lock that one of its threads holds, are nothing to a child."""
    bulkhead = Bulkhead("billing", 2)
    bulkhead.enter()
    bulkhead.enter()

    def child():
        began_with = bulkhead.under_way
        bulkhead.leave()  # the call that the fork happened in
        bulkhead.enter()
        return (began_with, bulkhead.under_way) == (0, 1)

    assert exit_code_of_child(child, bulkhead._lock) == 0
    assert bulkhead.under_way == 2


def test_it_is_not_kept():
    """A bulkhead that nobody has any more is forgotten."""
    before = len(bulkheads._bulkheads)
    Bulkhead("billing", 1)
    assert len(bulkheads._bulkheads) == before


def test_the_error_can_be_pickled():
    """It arrives with its limit at who waits for a worker."""
    error = pickle.loads(pickle.dumps(BulkheadFullError("billing", 2)))
    assert type(error) is BulkheadFullError
    assert (error.target, error.limit) == ("billing", 2)
