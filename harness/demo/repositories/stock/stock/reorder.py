"""What has to be bought."""


def missing(item):
    """Pieces that bring the free ones back to the level."""
    return max(item.level - item.free, 0)


def packs(pieces, size):
    """The smallest number of packs that has at least so many pieces."""
    if pieces <= 0:
        return 0
    return (pieces + size - 1) // size


def shopping_list(stock, size=1):
    """Packs to buy by name; items with enough pieces are left out."""
    return {item.name: packs(missing(item), size) for item in stock if missing(item)}
