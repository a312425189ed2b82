from graphs.components import components, is_connected
from graphs.edges import both_ways, nodes, reverse
from graphs.order import CycleError, levels, order
from graphs.paths import costs, path

__all__ = [
    "CycleError",
    "both_ways",
    "components",
    "costs",
    "is_connected",
    "levels",
    "nodes",
    "order",
    "path",
    "reverse",
]
