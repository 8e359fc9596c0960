"""Which fixed code an error leaves as. Its text stays where it was raised."""

from shared_model.errors import (
    BudgetExhausted,
    ConfigError,
    DataError,
    FingerprintMismatch,
    Refused,
    UnaccountedRelease,
    VersionMismatch,
)
from shared_model.protocol import Refusal

_CODES: tuple[tuple[type[Exception], Refusal], ...] = (
    (VersionMismatch, Refusal.VERSION),
    (FingerprintMismatch, Refusal.FINGERPRINT),
    (ConfigError, Refusal.UNREADY),
    (DataError, Refusal.UNREADY),
    (BudgetExhausted, Refusal.BUDGET),
    (UnaccountedRelease, Refusal.LEDGER),
)


def code_of(error: BaseException) -> Refusal:
    """Return the code of an error; `FAILED` for one that has none of its own."""
    if isinstance(error, Refused):
        return Refusal(error.code)
    return next((code for kind, code in _CODES if isinstance(error, kind)), Refusal.FAILED)


def written(code: Refusal) -> str:
    """Return what a status of gRPC says of a refusal: the number, nothing else."""
    return str(int(code))


def read(details: str | None) -> Refusal | None:
    """Return the code in the details of a status, or None where they are none of the agent's.

    >>> read(written(Refusal.PACE))
    <Refusal.PACE: 1011>
    >>> read("Connection reset by peer") is None
    True
    """
    return next((code for code in Refusal if written(code) == details), None)
