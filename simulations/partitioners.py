"""Split one table into merchants.

Notation: n rows, M merchants. Every function returns merchant -> rows, in the table's order. Every row goes
to exactly one merchant, except where a docstring says otherwise; a merchant without rows is left out.

Rows that belong together, the lines of an order or the orders of a shopper, are kept together by
`together`, the name of the column that identifies them.
"""

import re

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared_model.errors import DataError


def by_key(frame: pl.DataFrame, column: str, *, minimum: int = 1) -> dict[str, pl.DataFrame]:
    """Split by the values of `column`: sellers, countries, whatever the data already separate.

    Args:
        frame: The table, shape (n, ...).
        column: Each of its values becomes a merchant, named by the value in lower case with dashes.
        minimum: Values with fewer rows are left out.

    Returns:
        Merchants with most rows first, equally large ones by name.

    Raises:
        DataError: A value is missing, or two values have the same name.

    >>> frame = pl.DataFrame({"country": ["Spain", "United Kingdom", "Spain"], "order": [1, 2, 3]})
    >>> {merchant: rows["order"].to_list() for merchant, rows in by_key(frame, "country").items()}
    {'spain': [1, 3], 'united-kingdom': [2]}
    """
    if frame[column].null_count():
        raise DataError(
            f"column {column} has {frame[column].null_count()} missing values; drop or fill them first"
        )
    parts: dict[str, pl.DataFrame] = {}
    for (value,), rows in frame.partition_by(column, as_dict=True, maintain_order=True).items():
        name = re.sub(r"[^a-z0-9]+", "-", str(value).lower()).strip("-")
        if name in parts or not name:
            raise DataError(f"column {column}: value {value!r} has no merchant name of its own ({name!r})")
        parts[name] = rows
    enough = ((name, rows) for name, rows in parts.items() if len(rows) >= minimum)
    return dict(sorted(enough, key=lambda part: (-len(part[1]), part[0])))


def by_dirichlet(
    frame: pl.DataFrame,
    label: str,
    *,
    merchants: int,
    alpha: float,
    generator: np.random.Generator,
    together: str = "",
) -> dict[str, pl.DataFrame]:
    """Give each merchant its own mix of labels: every label is dealt out in shares from Dirichlet(alpha).

    Args:
        frame: The table, shape (n, ...).
        label: Column whose mix differs: a label, a category.
        merchants: M.
        alpha: Small: a label sits with few merchants. Large: all mixes are alike.
        generator: Source of the shares and of who gets which row.
        together: See the module; a group counts under the label of its first row.

    Raises:
        ValueError: `merchants` is less than 1 or `alpha` is not positive.

    Source: Yurochkin et al. (2019), section 4, https://arxiv.org/abs/1905.12022
    """
    _at_least_one(merchants)
    if not alpha > 0:
        raise ValueError(f"Expected alpha={alpha} > 0.")
    group = _groups(frame, together)
    labels = frame[label].gather(np.unique(group, return_index=True)[1])
    owner = np.empty(len(labels), dtype=np.int64)
    for members in labels.to_frame().with_row_index("group").partition_by(label, maintain_order=True):
        shares = generator.dirichlet(np.full(merchants, alpha))
        owner[members["group"].to_numpy()] = _deal(shares, len(members), generator)
    return _split(frame, owner[group])


def by_quantity(
    frame: pl.DataFrame, *, merchants: int, sigma: float, generator: np.random.Generator, together: str = ""
) -> dict[str, pl.DataFrame]:
    """Give merchants log-normal sizes and otherwise the same distribution.

    Args:
        frame: The table, shape (n, ...).
        merchants: M.
        sigma: Standard deviation of the logarithm of a merchant's size; 0 for equal sizes.
        generator: Source of the sizes and of who gets which row.
        together: See the module; sizes then count groups.

    Raises:
        ValueError: `merchants` is less than 1 or `sigma` is negative.
    """
    _at_least_one(merchants)
    if not sigma >= 0:
        raise ValueError(f"Expected sigma={sigma} >= 0.")
    sizes = np.exp(sigma * generator.normal(size=merchants))
    group = _groups(frame, together)
    owner = _deal(sizes / sizes.sum(), len(np.unique(group)), generator)
    return _split(frame, owner[group])


def by_time(frame: pl.DataFrame, time: str, *, merchants: int) -> dict[str, pl.DataFrame]:
    """Give each merchant a period of its own, the periods about equal in rows. Equal times stay together.

    Args:
        frame: The table, shape (n, ...).
        time: Column to sort by.
        merchants: M.

    Raises:
        ValueError: `merchants` is less than 1.
        DataError: A time is missing.
    """
    _at_least_one(merchants)
    if frame[time].null_count():
        raise DataError(f"column {time} has {frame[time].null_count()} missing values; drop them first")
    earlier = frame[time].rank("min").to_numpy().astype(np.int64) - 1
    return _split(frame, earlier * merchants // max(len(frame), 1))


def _at_least_one(merchants: int) -> None:
    if merchants < 1:
        raise ValueError(f"Expected merchants={merchants} >= 1.")


def _groups(frame: pl.DataFrame, together: str) -> NDArray[np.int64]:
    """The group of each row, 0, 1, ... by appearance; a row without a value is a group of its own."""
    row = np.arange(len(frame))
    if not together:
        return row
    first = pl.when(pl.col(together).is_null()).then("row").otherwise(pl.col("row").first().over(together))
    numbered = frame.select(together).with_columns(row=pl.Series(row)).select(first.rank("dense") - 1)
    return numbered.to_series().to_numpy().astype(np.int64)


def _deal(shares: NDArray[np.float64], n: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Owners of n things in random order, each owner with its share of them to within one thing."""
    bounds = np.round(np.cumsum(shares)[:-1] * n).astype(np.int64)
    return generator.permutation(np.searchsorted(bounds, np.arange(n), side="right"))


def _split(frame: pl.DataFrame, owner: NDArray[np.int64]) -> dict[str, pl.DataFrame]:
    """The rows of each owner, named `part-01`, `part-02`, ..."""
    return {f"part-{m + 1:02d}": frame.filter(pl.Series(owner == m)) for m in np.unique(owner).tolist()}
