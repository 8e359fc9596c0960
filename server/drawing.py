"""Which of the members that train are asked in a round, where a contract asks some of them at a time.

The draw is public: it follows from the lineage, the round and the names, and from nothing else, so everybody
can repeat it. Therefore it hides nobody, and no privacy is claimed for it: a budget is counted as if every
member were asked in every round (`server.private_aggregation`, `shared_model.privacy.plan`).
"""

import hashlib
import heapq
from collections.abc import Mapping

from .roster import Member


def drawn(
    members: Mapping[int, Member], count: int, *, lineage: str, round_number: int
) -> Mapping[int, Member]:
    """Return `count` of the members, in order of node id; all of them where there are no more, or for 0.

    Every member has a number that a hash of lineage, round and its name decides, and those with the lowest
    are asked: a uniform draw without replacement. All attempts of a round, and a resumed run, ask the same
    members; one that cannot be reached is replaced by the next, and the others stay
    (`tests/server/test_drawing.py`).

    Args:
        members: That train and can be reached, by node id; names are distinct.
        count: `federation.merchants_per_round`.
        lineage: Of the run.
        round_number: From 1.
    """
    if not 0 < count < len(members):
        return members
    start = hashlib.sha256(f"merchants of a round/{lineage}/{round_number}/".encode())

    def number(node: int) -> bytes:
        state = start.copy()
        state.update(members[node].name.encode())
        return state.digest()

    return {node: members[node] for node in sorted(heapq.nsmallest(count, members, key=number))}
