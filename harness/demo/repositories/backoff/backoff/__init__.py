from backoff.call import GaveUp, retry
from backoff.delays import constant, exponential, linear
from backoff.errors import on
from backoff.limits import all_of, total, tries, waits

__all__ = ["GaveUp", "all_of", "constant", "exponential", "linear", "on", "retry", "total", "tries", "waits"]
