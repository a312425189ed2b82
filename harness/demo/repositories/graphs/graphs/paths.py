"""Cheapest paths; here a graph has the cost of each edge: {"a": {"b": 3}}. Costs are not negative."""

import heapq


def _search(graph, start):
    """The cost of each node that can be reached, and the node before it."""
    best = {start: 0}
    before = {}
    heap = [(0, start)]
    while heap:
        cost, node = heapq.heappop(heap)
        if cost > best[node]:
            continue
        for neighbour, step in graph.get(node, {}).items():
            total = cost + step
            if neighbour not in best or total < best[neighbour]:
                best[neighbour] = total
                before[neighbour] = node
                heapq.heappush(heap, (total, neighbour))
    return best, before


def costs(graph, start):
    return _search(graph, start)[0]


def path(graph, start, goal):
    """Nodes of the cheapest path, with both ends; None if there is no path."""
    best, before = _search(graph, start)
    if goal not in best:
        return None
    nodes = [goal]
    while nodes[-1] != start:
        nodes.append(before[nodes[-1]])
    return nodes[::-1]
