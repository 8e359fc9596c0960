"""What a contract with a `[privacy]` table may not ask for, and the nearest thing that it may.

Clipping one shopper's contribution protects the shopper only where everything else that shapes a release is
public: a batch statistic, a feature computed across shoppers or a number of steps that follows from the
number of orders would let one shopper move what all others contribute.
"""

from collections.abc import Callable
from pathlib import Path

from .. import library
from ..errors import ConfigError
from .bottoms import Wide
from .federation import Federation
from .privacy import Aggregate, Privacy, TaskPrivacy
from .tasks import Retrieval

Check = Callable[[Federation, Privacy, Path | str], None]


def check_private(federation: Federation, file: Path | str) -> None:
    """Refuse what privacy forbids, with the reason and the nearest allowed choice.

    Raises:
        ConfigError: The contract has a `[privacy]` table and asks for something that it forbids.
    """
    if federation.privacy is not None:
        for check in _CHECKS:
            check(federation, federation.privacy, file)


def reads_across_shoppers(federation: Federation) -> tuple[str, ...]:
    """Return the names of the features that are computed across shoppers (`library.ACROSS_SHOPPERS`)."""
    return tuple(
        name
        for name, feature in federation.features.items()
        if (feature.column or name) in library.ACROSS_SHOPPERS
    )


def tasks_of_items(federation: Federation) -> tuple[str, ...]:
    """Return the names of the tasks whose rows belong to an item rather than to a shopper."""
    return tuple(
        name
        for name, task in federation.tasks.items()
        if task.library and library.ROW_KINDS[library.TASKS[task.library].rows].owner == "item"
    )


def with_labels(federation: Federation, choice: Aggregate) -> tuple[str, ...]:
    """Return the names of the tasks whose rows mix shoppers and for which the contract chose `choice`."""
    tasks = federation.privacy.tasks if federation.privacy else {}
    return tuple(n for n in tasks_of_items(federation) if n in tasks and tasks[n].labels == choice)


def _labels(federation: Federation, privacy: Privacy, file: Path | str) -> None:
    mixed = tasks_of_items(federation)
    for name in mixed:
        if privacy.tasks.get(name, TaskPrivacy()).labels is None:
            allowed = (
                f"a choice, since one shopper moves many rows of {name}, so that clipping rows protects "
                "nobody: one_product (each shopper counts for one item, at twice the sensitivity), noised "
                "(counts of items and weeks are released once, with noise) or at_home (no part in rounds)"
            )
            raise ConfigError(file, f"privacy.tasks.{name}.labels", None, allowed)
    for name, task in privacy.tasks.items():
        if task.labels is not None and name in federation.tasks and name not in mixed:
            allowed = f"nothing: every row of {name} belongs to one shopper"
            raise ConfigError(file, f"privacy.tasks.{name}.labels", task.labels, allowed)


def _noised_labels(federation: Federation, privacy: Privacy, file: Path | str) -> None:
    noised = with_labels(federation, "noised")
    for name in noised:
        if (days := federation.tasks[name].horizon_days) % 7:
            allowed = (
                "a multiple of 7, since sales are released by the week; or labels = one_product or at_home"
            )
            raise ConfigError(file, f"tasks.{name}.horizon_days", days, allowed)
        if other := with_labels(federation, "one_product"):
            allowed = f"one_product, as for {other[0]}, or at_home: in both a shopper would count twice"
            raise ConfigError(file, f"privacy.tasks.{name}.labels", "noised", allowed)
        for key in ("lines", "quantity"):
            first, mine = (getattr(privacy.tasks[task], key) for task in (noised[0], name))
            if first != mine:
                allowed = f"{first}, as for {noised[0]}: sales are released once for all tasks"
                raise ConfigError(file, f"privacy.tasks.{name}.{key}", mine, allowed)


def _plain_steps(federation: Federation, privacy: Privacy, file: Path | str) -> None:
    if federation.local.optimizer != "sgd":
        allowed = (
            "sgd, for which noise on large tables may wait until a row is read; an adaptive optimizer "
            "belongs in server.optimizer, where it costs no privacy"
        )
        raise ConfigError(file, "local.optimizer", federation.local.optimizer, allowed)
    if isinstance(federation.bottom, Wide):
        return
    for key in ("weight_decay", "proximal"):
        if value := getattr(federation.local, key):
            allowed = (
                f"0 with a {federation.bottom.architecture} bottom: it would move table rows whose noise "
                "is not drawn yet"
            )
            raise ConfigError(file, f"local.{key}", value, allowed)


def _meta_learning(federation: Federation, privacy: Privacy, file: Path | str) -> None:
    meta = federation.local.meta
    if meta is None:
        return
    allowed = (
        "nothing: its inner steps read shoppers' rows without noise, and the gradient that is clipped is "
        "taken at a point that depends on them, so one shopper moves what all others contribute; the nearest "
        'is server.optimizer = "reptile", which only works on private updates'
    )
    raise ConfigError(file, "local.meta.method", meta.method, allowed)


def _row_blocks(federation: Federation, privacy: Privacy, file: Path | str) -> None:
    if (blocks := federation.federation.row_blocks) > 1:
        allowed = (
            "1: a shopper's gradient is clipped over all rows that the shop reads, and noise is owed to all "
            "of them, so rows that stay at home would take their share of the clip and give nothing for it; "
            'precision = "int8" saves bytes at no cost in privacy'
        )
        raise ConfigError(file, "federation.row_blocks", blocks, allowed)


def _weighting(federation: Federation, privacy: Privacy, file: Path | str) -> None:
    if federation.local.weighting in ("dwa", "gradnorm"):
        allowed = (
            "fixed, or uncertainty, whose variances are trained under the clip like everything else; the "
            f"weights of {federation.local.weighting} are computed from the shoppers' losses and would shape "
            "every step without noise"
        )
        raise ConfigError(file, "local.weighting", federation.local.weighting, allowed)


def _conflict(federation: Federation, privacy: Privacy, file: Path | str) -> None:
    if federation.local.conflict != "none" and privacy.engine != "bookkeeping":
        allowed = "bookkeeping with local.conflict: Opacus has no gradients of single tasks"
        raise ConfigError(file, "privacy.engine", privacy.engine, allowed)


def _statistics(federation: Federation, privacy: Privacy, file: Path | str) -> None:
    found = reads_across_shoppers(federation)
    if found and not privacy.statistics:
        allowed = (
            "a share of the budget above 0, because one shopper moves the features "
            f"{', '.join(found)} of all others; or a contract without these features"
        )
        raise ConfigError(file, "privacy.statistics", privacy.statistics, allowed)
    if privacy.statistics and not found:
        allowed = "0, since no feature is computed across shoppers"
        raise ConfigError(file, "privacy.statistics", privacy.statistics, allowed)
    shares = privacy.statistics + (privacy.telemetry.share if privacy.telemetry else 0.0)
    if shares >= 1:
        raise ConfigError(file, "privacy.statistics", privacy.statistics, "with telemetry less than 1")


def _items(federation: Federation, privacy: Privacy, file: Path | str) -> None:
    found = with_labels(federation, "one_product")
    if not found:
        return
    if privacy.unit == "record":
        allowed = f"shopper, since rows of {found[0]} mix the records of many shoppers; or labels = at_home"
        raise ConfigError(file, "privacy.unit", privacy.unit, allowed)
    if not isinstance(federation.bottom, Wide):
        allowed = (
            f"wide, where {found[0]} has parameters of its own: its rows mix shoppers, and their "
            "sensitivity is another one than that of the other tasks; or labels = noised or at_home"
        )
        raise ConfigError(file, "bottom.architecture", federation.bottom.architecture, allowed)
    sampled = [n for n, t in federation.tiers.items() if t.sampling_rate is not None and t.sampling_rate < 1]
    if sampled or not federation.federation.full_batch:
        key = f"tiers.{sampled[0]}.sampling_rate" if sampled else "federation.full_batch"
        value = federation.tiers[sampled[0]].sampling_rate if sampled else False
        allowed = (
            f"{1 if sampled else 'true'}, since rows of {found[0]} mix shoppers, whom sampling rows does "
            "not sample; or labels = noised or at_home"
        )
        raise ConfigError(file, key, value, allowed)


def _sampling(federation: Federation, privacy: Privacy, file: Path | str) -> None:
    for name, tier in federation.tiers.items():
        if federation.federation.full_batch and tier.sampling_rate not in (None, 1.0):
            allowed = "1 with federation.full_batch; or full_batch = false"
            raise ConfigError(file, f"tiers.{name}.sampling_rate", tier.sampling_rate, allowed)
        if not federation.federation.full_batch and tier.sampling_rate is None and not tier.shoppers:
            allowed = "a rate above 0, since it cannot follow from a tier of 0 shoppers; or full_batch = true"
            raise ConfigError(file, f"tiers.{name}.sampling_rate", None, allowed)


def _groups(federation: Federation, privacy: Privacy, file: Path | str) -> None:
    elsewhere = {*with_labels(federation, "at_home"), *with_labels(federation, "noised")}
    trained = [
        name
        for name, task in federation.tasks.items()
        if not isinstance(task, Retrieval) and task.head == "residual" and name not in elsewhere
    ]
    on_shoppers_rows = [
        n for n, t in federation.tasks.items() if not isinstance(t, Retrieval) and n not in elsewhere
    ]
    if not on_shoppers_rows or (isinstance(federation.bottom, Wide) and not trained):
        allowed = (
            "at least one task with a shared prior (head = residual) on shoppers' rows, or there is nothing "
            "to train"
        )
        raise ConfigError(file, "tasks", None, allowed)
    for name in privacy.tasks:
        if name in elsewhere:
            continue
        if not isinstance(federation.bottom, Wide):
            allowed = (
                "nothing: only a wide bottom has parameters for each task alone; the others share one clip"
            )
            raise ConfigError(file, f"privacy.tasks.{name}", "a clip group", allowed)
        if name not in trained:
            allowed = f"tasks with a shared prior: {', '.join(trained) or 'there are none'}"
            raise ConfigError(file, f"privacy.tasks.{name}", name, allowed)


def _delta(federation: Federation, privacy: Privacy, file: Path | str) -> None:
    """To publish one of n shoppers, drawn by lot, is (0, 1/n) private; so such a delta promises nothing."""
    floor = max((tier.shoppers for tier in federation.tiers.values() if tier.role == "train"), default=0)
    if floor * privacy.delta >= 1:
        allowed = (
            f"far less than 1 / {floor:,}, one over the shoppers that a merchant of the largest tier has at "
            "least: publishing one of them in full would pass"
        )
        raise ConfigError(file, "privacy.delta", privacy.delta, allowed)


_CHECKS: tuple[Check, ...] = (
    _labels,
    _noised_labels,
    _plain_steps,
    _meta_learning,
    _row_blocks,
    _weighting,
    _conflict,
    _statistics,
    _items,
    _sampling,
    _groups,
    _delta,
)
