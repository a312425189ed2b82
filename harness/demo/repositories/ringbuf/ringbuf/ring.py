"""A buffer of fixed size: when it is full, a new item takes the place of the oldest one."""


class Ring:
    def __init__(self, size, items=()):
        if size < 1:
            raise ValueError("size must be at least 1")
        self.size = size
        self._slots = [None] * size
        self._start = 0  # the slot of the oldest item
        self._count = 0
        for item in items:
            self.push(item)

    def __len__(self):
        return self._count

    def __iter__(self):
        """The oldest item comes first."""
        for index in range(self._count):
            yield self[index]

    def __getitem__(self, index):
        """Item by age: 0 is the oldest, -1 the newest."""
        if index < 0:
            index += self._count
        if not 0 <= index < self._count:
            raise IndexError("ring index out of range")
        return self._slots[(self._start + index) % self.size]

    def push(self, item):
        """Add an item; return the item that had to go, None if there was room."""
        if self._count < self.size:
            self._slots[(self._start + self._count) % self.size] = item
            self._count += 1
            return None
        dropped = self._slots[self._start]
        self._slots[self._start] = item
        self._start = (self._start + 1) % self.size
        return dropped

    def pop(self):
        """Remove the oldest item and return it."""
        item = self[0]
        self._slots[self._start] = None
        self._start = (self._start + 1) % self.size
        self._count -= 1
        return item
