"""One kind of thing on the shelf."""


class OutOfStock(Exception):
    pass


class Item:
    """The count has the reserved pieces in it; they are on the shelf until they are shipped."""

    def __init__(self, name, count=0, reserved=0, level=0):
        self.name = name
        self.count = count
        self.reserved = reserved
        self.level = level

    @property
    def free(self):
        return self.count - self.reserved

    def receive(self, number):
        if number <= 0:
            raise ValueError("the number must be positive")
        self.count += number
        return self.free

    def reserve(self, number):
        """Keep free pieces for an order; returns how many are still free."""
        if number > self.free:
            raise OutOfStock(f"only {self.free} of {self.name} are free")
        self.reserved += number
        return self.free

    def release(self, number):
        """Give up a reservation, or a part of it."""
        self.reserved -= min(number, self.reserved)
        return self.free

    def ship(self, number):
        """Send reserved pieces out; returns how many are free, which stays the same."""
        if number > self.reserved:
            raise OutOfStock(f"only {self.reserved} of {self.name} are reserved")
        self.count -= number
        self.reserved -= number
        return self.free
