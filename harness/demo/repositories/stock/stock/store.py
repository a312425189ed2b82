"""All items by their names."""

from stock.item import Item


class Stock:
    def __init__(self, *items):
        self._items = {item.name: item for item in items}

    def __getitem__(self, name):
        return self._items[name]

    def __iter__(self):
        return iter(self._items.values())

    def receive(self, name, number):
        """Add pieces; an unknown name becomes a new item."""
        if name not in self._items:
            self._items[name] = Item(name)
        return self._items[name].receive(number)

    def counts(self):
        return {item.name: item.count for item in self}

    def low(self):
        """Names of the items with fewer free pieces than their level."""
        return [item.name for item in self if item.free < item.level]
