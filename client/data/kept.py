"""Encoded rows are made once for a contract, a merchant's file and its exports, and then found again.

The key covers the contract, the merchant's file, the exports' sizes and times of change, and `ENCODING`. A
database cannot tell whether it changed, so it is read once by every process.
"""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from client.config import MerchantConfig
from client.merchant_file import ItemsTable, ReadyTable, ShopTable, masked
from shared_model import declared
from shared_model.schema import Federation

from . import meta
from .arrays import appearing
from .sources import stamp

log = logging.getLogger(__name__)

_STARTED = time.time_ns()
ENCODING = 5
"""Raised by one whenever the same data would be encoded differently."""

Build = Callable[[MerchantConfig, Federation, Path], None]
"""Writes encoded rows into a folder."""


def kept(parent: Path, build: Build, config: MerchantConfig, federation: Federation) -> Path:
    """Return a folder in `parent` that `build` filled, now or earlier; others in `parent` are removed.

    Raises:
        DataError: The data cannot be read or used; nothing half-written is left behind.
        OSError: The disk is full or not writable; the same holds.
    """
    folder = parent / _key(config, federation)
    if not meta.is_whole(folder):
        shutil.rmtree(folder, ignore_errors=True)
        started = time.monotonic()
        with appearing(folder) as temporary:
            build(config, federation, temporary)
        log.info("encoded the data of %s in %.1f s", config.name, time.monotonic() - started)
    for other in parent.iterdir():
        if other != folder and not other.name.startswith("."):
            shutil.rmtree(other, ignore_errors=True)
    return folder


def _key(config: MerchantConfig, federation: Federation) -> str:
    tables: list[ShopTable | ReadyTable] = [
        *config.shop_tables.values(),
        *([config.table] if config.table else []),
    ]
    maps = [t.category_map for t in tables if isinstance(t, ItemsTable) and t.category_map]
    stamps = [stamp(source) for source in (*(t.source for t in tables), *maps)]
    parts: list[Any] = [
        ENCODING,
        federation.fingerprint,
        config.timezone,
        [masked(declared.canonical(part).decode()) for part in (*tables, config.split)],
        [[name, declared.canonical(task).decode()] for name, task in config.tasks.items()],
        [_STARTED if found is None else found for found in stamps],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
