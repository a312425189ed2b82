"""Orders in which no edge leads back."""

from graphs.edges import nodes, reverse


class CycleError(ValueError):
    pass


def levels(graph):
    """Groups of nodes; every edge leads to a later group. Raises CycleError if there is a cycle."""
    waiting = {node: len(sources) for node, sources in reverse(graph).items()}
    groups = []
    group = [node for node in nodes(graph) if waiting[node] == 0]
    while group:
        groups.append(group)
        following = []
        for node in group:
            for neighbour in graph.get(node, ()):
                waiting[neighbour] -= 1
                if waiting[neighbour] == 0:
                    following.append(neighbour)
        group = following
    if any(waiting.values()):
        raise CycleError("the graph has a cycle")
    return groups


def order(graph):
    """All nodes, each one before its neighbours."""
    return [node for group in levels(graph) for node in group]
