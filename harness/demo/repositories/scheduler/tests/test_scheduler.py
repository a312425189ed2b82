import pytest

from scheduler import Event, Scheduler, every


def say(word):
    return lambda: word


def test_runs_in_order_of_time():
    queue = Scheduler()
    queue.add(Event(5, say("b")))
    queue.add(Event(2, say("a")))
    assert queue.run_until(10) == ["a", "b"]


def test_later_events_wait():
    queue = Scheduler()
    queue.add(Event(5, say("a")))
    assert queue.run_until(4) == []
    assert len(queue) == 1


def test_the_past_is_refused():
    queue = Scheduler()
    queue.run_until(10)
    with pytest.raises(ValueError):
        queue.add(Event(9, say("a")))


def test_every():
    assert [event.time for event in every(3, say("a"), count=3)] == [0, 3, 6]


def test_cancelled_event_does_not_run():
    queue = Scheduler()
    queue.add(Event(1, say("a"))).cancel()
    assert queue.run_until(2) == []
