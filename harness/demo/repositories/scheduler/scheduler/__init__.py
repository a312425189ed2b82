from scheduler.events import Event, every
from scheduler.queue import Scheduler

__all__ = ["Event", "Scheduler", "every"]
