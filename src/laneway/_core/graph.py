"""Order, cycles and ancestors of a directed graph given as index lists."""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

__all__ = ["ancestors", "find_cycle", "topological"]


def topological(needs: Sequence[Sequence[int]]) -> list[int] | None:
    """Indices so that each comes after what it needs; among free ones the lower index first. None if there is a cycle.

    Kahn's algorithm (1962) with a heap, so that the order depends on the graph and the declaration alone.
    """
    feeds = successors(needs)
    missing = [len(set(one)) for one in needs]
    free = [index for index, count in enumerate(missing) if count == 0]
    heapify(free)
    order: list[int] = []
    while free:
        index = heappop(free)
        order.append(index)
        for after in feeds[index]:
            missing[after] -= 1
            if missing[after] == 0:
                heappush(free, after)
    return order if len(order) == len(needs) else None


def successors(needs: Sequence[Sequence[int]]) -> list[list[int]]:
    """For each index those that need it, ascending."""
    feeds: list[list[int]] = [[] for _ in needs]
    for index, before in enumerate(needs):
        for one in set(before):
            feeds[one].append(index)
    return feeds


def find_cycle(needs: Sequence[Sequence[int]]) -> list[int]:
    """One cycle as a path that starts and ends with the same index; empty if there is none."""
    state = [0] * len(needs)  # 0 new, 1 on the path, 2 done
    for root in range(len(needs)):
        if state[root]:
            continue
        path: list[int] = []
        stack: list[tuple[int, int]] = [(root, 0)]
        while stack:
            node, position = stack.pop()
            if position == 0:
                state[node] = 1
                path.append(node)
            if position < len(needs[node]):
                stack.append((node, position + 1))
                after = needs[node][position]
                if state[after] == 1:
                    loop = path[path.index(after) :]
                    return [*loop, after][::-1]
                if state[after] == 0:
                    stack.append((after, 0))
            else:
                state[node] = 2
                path.pop()
    return []


def ancestors(needs: Sequence[Sequence[int]]) -> list[int]:
    """For each index, given in topological order, a bit mask of all indices it depends on."""
    masks: list[int] = []
    for before in needs:
        mask = 0
        for one in before:
            mask |= masks[one] | (1 << one)
        masks.append(mask)
    return masks
