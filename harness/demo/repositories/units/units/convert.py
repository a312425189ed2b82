"""Convert a number from one unit to another."""

from units.table import lookup


def convert(value, source, target):
    """base = value * factor + offset, and back."""
    kind, factor, offset = lookup(source)
    target_kind, target_factor, target_offset = lookup(target)
    if kind != target_kind:
        raise ValueError(f"cannot convert {kind} to {target_kind}")
    return (value * factor + offset - target_offset) / target_factor
