"""What a merchant's file must say before its rows may train under a contract with privacy."""

from client.config import MerchantConfig
from shared_model import library, schema
from shared_model.errors import ConfigError
from shared_model.schema import Federation, Privacy, Task

from .shop import table_of


def check_private_split(config: MerchantConfig) -> None:
    """Refuse a split that the last row decides; a table whose rows have no time is split by its shoppers.

    Raises:
        ConfigError: The split counts days back, or has folds.
    """
    if config.split.folds:
        allowed = "0: folds compare methods, and each of them would be one more training to pay for"
        raise ConfigError(config.file, "split.folds", config.split.folds, allowed)
    by_shopper = config.table is not None and not config.table.time
    if config.split.validation_from is None and not by_shopper:
        allowed = (
            "a date, with split.test_from: days counted back from the last row let the shopper of that row "
            "decide whose rows train, and this contract hides every shopper"
        )
        raise ConfigError(config.file, "split.validation_from", None, allowed)


def check_private_table(config: MerchantConfig, privacy: Privacy) -> None:
    """Refuse a ready table that does not say whose its rows are.

    Raises:
        ConfigError: There is no column with the shopper, and it is needed.
    """
    table = config.table
    if table is None or table.unit:
        return
    if privacy.unit == "shopper":
        allowed = (
            "the column that names each row's shopper, since this contract protects shoppers and not single "
            'rows; or a contract with privacy.unit = "record"'
        )
        raise ConfigError(config.file, "table.unit", None, allowed)
    if not table.time:
        allowed = "a column to split the rows by: table.time with dates in [split], or table.unit"
        raise ConfigError(config.file, "table.time", None, allowed)


def check_private_items(config: MerchantConfig) -> None:
    """Refuse item facts read from order lines where sessions read them: there would be a line of one shopper.

    Rows of orders read only facts that do not depend on who bought; a session reads the list price too, and
    looks at items that perhaps one other shopper bought.

    Raises:
        ConfigError: The items table is the export of the orders or of the events.
    """
    if config.items is None or config.events is None:
        return
    if not has_assortment(config):
        allowed = (
            "an export of the assortment, since one of order lines or events tells a session what other "
            "shoppers bought, and this contract hides every shopper; or no [items], or no [events]"
        )
        raise ConfigError(config.file, "items.source", config.items.source, allowed)


def has_assortment(config: MerchantConfig) -> bool:
    """Whether an items table says which items there are, whoever bought them."""
    told = {(t.source, t.query) for t in (config.orders, config.events) if t is not None}
    return config.items is not None and (config.items.source, config.items.query) not in told


def private_tasks(config: MerchantConfig, federation: Federation) -> frozenset[str]:
    """Return the tasks that a merchant trains with privacy, its own ones too: those whose table is declared.

    The two files alone decide; a task without a single label is one of them. What is not trained is fitted
    after the release, as everything that only serves:

    * A retrieval task: its catalogue is what all shoppers bought.
    * A task of the merchant's own on rows of items: the contract has no clip group with their sensitivity.
    * A task that needs to know a shopper again, where the unit is the record.
    * A task on rows of items that the contract leaves at home; one with noised labels, too, where no items
      table of its own says what the assortment is (`has_assortment`).
    """
    by_record = federation.privacy is not None and federation.privacy.unit == "record"
    at_home = set(schema.with_labels(federation, "at_home"))
    if not has_assortment(config):
        at_home |= set(schema.with_labels(federation, "noised"))
    return frozenset(
        name
        for name, task in config.tasks.items()
        if not isinstance(task, schema.Retrieval)
        and name not in at_home
        and _declared(config, name, task)
        and not (name in config.own_tasks and config.table is None and asks_of_items(task))
        and not (by_record and task.library and "customer_id" in library.TASKS[task.library].needs)
    )


def asks_of_items(task: Task) -> bool:
    """Whether the rows that a task of the library asks of a shop's tables belong to items."""
    return bool(task.library) and library.ROW_KINDS[library.TASKS[task.library].rows].owner == "item"


def _declared(config: MerchantConfig, name: str, task: Task) -> bool:
    if config.table is not None:
        return name in config.table.labels
    return bool(task.library) and table_of(task) in config.shop_tables
