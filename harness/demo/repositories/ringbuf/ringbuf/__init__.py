from ringbuf.chunks import chunks, parts, rejoin
from ringbuf.ring import Ring
from ringbuf.sliding import moving_average, moving_max, windows

__all__ = ["Ring", "chunks", "moving_average", "moving_max", "parts", "rejoin", "windows"]
