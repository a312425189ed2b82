"""Call a function until it works."""

from backoff.delays import exponential
from backoff.errors import on
from backoff.limits import tries

ANY_ERROR = on(Exception)
DOUBLING = exponential()
THREE_TRIES = tries(3)


class GaveUp(Exception):
    def __init__(self, failures, waited):
        super().__init__(f"{failures} failures, waited {waited} s")
        self.failures = failures
        self.waited = waited


def retry(function, sleep, errors=ANY_ERROR, delay=DOUBLING, limit=THREE_TRIES):
    """The result of the function; after an error that matches, sleep and call it again.

    Other errors are raised at once. GaveUp is raised from the last error when the limit is reached.
    """
    failures = waited = 0
    while True:
        try:
            return function()
        except Exception as error:
            if not errors(error):
                raise
            failures += 1
            seconds = delay(failures)
            if not limit(failures, waited, seconds):
                raise GaveUp(failures, waited) from error
        sleep(seconds)
        waited += seconds
