from lrucache import ExpiringCache


class Clock:
    now = 0

    def __call__(self):
        return self.now


def test_get_before_the_deadline():
    cache = ExpiringCache(10, Clock())
    cache.put("a", 1)
    assert cache.get("a") == 1


def test_get_after_the_deadline():
    clock = Clock()
    cache = ExpiringCache(10, clock)
    cache.put("a", 1)
    clock.now = 11
    assert cache.get("a") is None
