from lrucache.cache import LRUCache
from lrucache.decorator import memoize
from lrucache.expiring import ExpiringCache

__all__ = ["ExpiringCache", "LRUCache", "memoize"]
