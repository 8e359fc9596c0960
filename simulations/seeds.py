"""One seed at the top, split by name.

A generator depends on the seed and on its names, never on which other generators were made or in which
order. So adding a merchant, a round or a stage changes nothing for the others.
"""

import hashlib

import numpy as np


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return the generator that belongs to `names` under `seed`.

    It is the child of `SeedSequence(seed)` whose spawn key is the digest of the names.

    >>> float(generator(7, "north", "orders").random()) == float(generator(7, "north", "orders").random())
    True
    >>> float(generator(7, "north").random()) == float(generator(7, "south").random())
    False
    """
    digest = hashlib.blake2b("\0".join(names).encode(), digest_size=16).digest()
    key = tuple(int(word) for word in np.frombuffer(digest, dtype="<u4"))
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
