"""Reports as plain text."""


def label(item):
    """One line on one item, with a mark if it is below its level."""
    mark = " (low)" if item.free < item.level else ""
    return f"{item.name}: {item.free} of {item.count} free{mark}"


def report(counts):
    """A line for each name, sorted; the counts are in one column."""
    if not counts:
        return "nothing in stock"
    width = max(len(name) for name in counts)
    digits = max(len(str(count)) for count in counts.values())
    return "\n".join(f"{name:<{width}} {counts[name]:>{digits}}" for name in sorted(counts))
