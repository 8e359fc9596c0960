"""The fixed keyed hash that gives every merchant the same table row for the same category.

No vocabulary is exchanged: a category is its text, brought to one form, and hashed with BLAKE2b under the
contract's public `hash_key`. The feature's name is hashed in front of it, so equal words of different
features do not collide in the same way. Row 0 of every table is kept for what is missing.

The golden values in `tests/client/data/test_hashing.py` are part of the contract: another hash is another
vocabulary.
"""

import re
import unicodedata
from collections.abc import Iterable
from hashlib import blake2b
from itertools import islice

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared_model import schema

_NUMBER = re.compile(r"([+-]?)(0|[1-9]\d*)(?:\.(\d*))?")
_WORD = re.compile(r"\w+")


def canonical_text(value: object) -> str:
    """Return the one text form of a category; empty for a missing one.

    Unicode NFKC, stripped, case-folded; a number in any notation without exponent is the same category.

    >>> canonical_text("  Garden "), canonical_text(3.0), canonical_text("3.00"), canonical_text("007")
    ('garden', '3', '3', '007')
    """
    if value is None or value != value:  # NaN is the only value that differs from itself
        return ""
    text = unicodedata.normalize("NFKC", str(value)).strip().casefold()
    number = _NUMBER.fullmatch(text)
    if number is None:
        return text
    sign, whole, fraction = number.groups()
    digits = whole + (f".{fraction.rstrip('0')}" if fraction and fraction.rstrip("0") else "")
    return f"-{digits}" if sign == "-" and digits != "0" else digits


def bucket(text: str, *, name: str, buckets: int, key: str) -> int:
    """Return the table row of a category in canonical form: 0 where empty, else 1 to buckets - 1.

    Args:
        text: What `canonical_text` returned.
        name: Of the feature.
        buckets: Rows of its table.
        key: The contract's `hash_key`.
    """
    return 1 + digest(f"{name}\0{text}", key) % (buckets - 1) if text else 0


def digest(text: str, key: str) -> int:
    """Return 64 bits of BLAKE2b of `text` under `key` (of any length), as a number."""
    secret = key.encode()
    secret = secret if len(secret) <= 64 else blake2b(secret).digest()
    return int.from_bytes(blake2b(text.encode(), digest_size=8, key=secret).digest(), "big")


def hashed(values: pl.Series, key: str) -> pl.Series:
    """Return the `digest` of every text, null where missing, uint64; each distinct text is hashed once."""
    distinct = values.drop_nulls().unique()
    numbers = pl.Series([digest(text, key) for text in distinct], dtype=pl.UInt64)
    return values.replace_strict(distinct, numbers, default=None, return_dtype=pl.UInt64)


def bucket_column(values: pl.Series, *, name: str, buckets: int, key: str) -> NDArray[np.int32]:
    """Return the table row of every category in a column, shape (B,); each distinct value is hashed once."""
    distinct = values.unique()
    rows = [bucket(canonical_text(v), name=name, buckets=buckets, key=key) for v in distinct]
    found = values.replace_strict(distinct, pl.Series(rows, dtype=pl.Int32), return_dtype=pl.Int32)
    return found.to_numpy()


def grams(text: str | None, feature: schema.Text) -> list[str]:
    """Return the distinct n-grams of a text, at most `max_grams`: word n-grams first, then characters.

    A word n-gram begins with `w`, a character n-gram with `c`; the latter are taken inside words whose
    ends are marked with `<` and `>` (as in Bojanowski et al. 2017, section 3.2).

    >>> feature = schema.Text(kind="text", buckets=8, width=2, words=2, characters=(3, 3))
    >>> grams("Red mug", feature)
    ['w red', 'w mug', 'w red mug', 'c <re', 'c red', 'c ed>', 'c <mu', 'c mug', 'c ug>']
    """
    words = _WORD.findall(canonical_text(text))
    return list(islice(dict.fromkeys(_all_grams(words, feature)), feature.max_grams))


def _all_grams(words: list[str], feature: schema.Text) -> Iterable[str]:
    for n in range(1, feature.words + 1):
        for start in range(len(words) - n + 1):
            yield "w " + " ".join(words[start : start + n])
    shortest, longest = feature.characters
    for word in words if longest else ():
        marked = f"<{word}>"
        for n in range(shortest, longest + 1):
            for start in range(len(marked) - n + 1):
                yield "c " + marked[start : start + n]
