"""How supported nodes become partitions, as ONNX Runtime groups them.

Sources: core/providers/partitioning_utils.cc, CreateSupportedPartitionNodeGroups (waves);
    core/providers/openvino/ov_versions/capability.cc and utils.cc (clusters).
"""

from collections import deque
from collections.abc import Sequence

from toolkit.inspection.coverage.graph import Node


def waves(nodes: Sequence[Node], supported: Sequence[bool]) -> list[list[int]]:
    """The largest groups that can run at once, found greedily in topological order.

    Nodes of one group need not be connected; no node that is refused stands between two of them.

    Args:
        nodes: In topological order.
        supported: Of each node, whether the provider takes it.
    """
    waiting = [len(node.parents) for node in nodes]
    ready = deque(node.index for node in nodes if not node.parents)
    later: deque[int] = deque()
    groups: list[list[int]] = []
    group: list[int] = []
    border: set[int] = set()
    while ready or later:
        if not ready:
            groups += [group] if group else []
            group, border = [], set()
            ready, later = later, deque()
            continue
        index = ready.popleft()
        if not supported[index] and index in border:
            later.append(index)
            continue
        if supported[index]:
            group.append(index)
            border.discard(index)
        for child in nodes[index].children:
            if supported[index]:
                border.add(child)
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    return [*groups, group] if group else groups


def clusters(nodes: Sequence[Node], supported: Sequence[bool]) -> list[list[int]]:
    """Connected parts of the runs between two refused nodes in topological order.

    Args:
        nodes: In topological order.
        supported: Of each node, whether the provider takes it.
    """
    runs: list[set[int]] = [set()]
    for node in nodes:
        if supported[node.index]:
            runs[-1].add(node.index)
        else:
            runs.append(set())
    return [part for run in runs for part in _connected(nodes, run)]


def _connected(nodes: Sequence[Node], run: set[int]) -> list[list[int]]:
    found: list[list[int]] = []
    left = set(run)
    while left:
        stack, part = [min(left)], []
        while stack:
            index = stack.pop()
            if index in left:
                left.remove(index)
                part.append(index)
                stack += [*nodes[index].parents, *nodes[index].children]
        found.append(sorted(part))
    return found
