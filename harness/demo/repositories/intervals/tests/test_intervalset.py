from intervals import Interval, IntervalSet


def test_add_merges_overlaps():
    assert list(IntervalSet([Interval(0, 3), Interval(2, 5)])) == [Interval(0, 5)]


def test_remove_at_the_start():
    items = IntervalSet([Interval(0, 10)])
    items.remove(Interval(0, 4))
    assert list(items) == [Interval(4, 10)]


def test_gaps():
    assert IntervalSet([Interval(0, 1), Interval(4, 6)]).gaps() == [Interval(1, 4)]


def test_total():
    assert IntervalSet([Interval(0, 3), Interval(5, 6)]).total() == 4
