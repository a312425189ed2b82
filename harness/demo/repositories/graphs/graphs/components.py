"""Parts of a graph that hang together, whatever the direction of the edges is."""

from graphs.edges import both_ways


def _reachable(graph, start):
    seen = {start}
    stack = [start]
    while stack:
        for neighbour in graph[stack.pop()]:
            if neighbour not in seen:
                seen.add(neighbour)
                stack.append(neighbour)
    return seen


def components(graph):
    """Sorted lists of the nodes that are connected, the list with the first node first."""
    joined = both_ways(graph)
    done = set()
    parts = []
    for node in joined:
        if node not in done:
            part = _reachable(joined, node)
            done |= part
            parts.append(sorted(part))
    return parts


def is_connected(graph):
    return len(components(graph)) <= 1
