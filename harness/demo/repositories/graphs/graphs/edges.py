"""A graph is a dict of the neighbours by node: {"a": ["b", "c"]} has edges from a to b and from a to c."""


def nodes(graph):
    """All nodes as they appear, also those that are only neighbours."""
    found = {}
    for node, neighbours in graph.items():
        found[node] = True
        for neighbour in neighbours:
            found[neighbour] = True
    return list(found)


def reverse(graph):
    """Turn every edge round."""
    turned = {node: [] for node in nodes(graph)}
    for node, neighbours in graph.items():
        for neighbour in neighbours:
            turned[neighbour].append(node)
    return turned


def both_ways(graph):
    """Every edge in both directions, none of them twice."""
    joined = {node: [] for node in nodes(graph)}
    for node, neighbours in graph.items():
        for neighbour in neighbours:
            for start, end in ((node, neighbour), (neighbour, node)):
                if end not in joined[start]:
                    joined[start].append(end)
    return joined
