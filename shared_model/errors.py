"""Every error that FedBazaar raises on purpose.

```
FedbazaarError
├── ConfigError              a file that somebody wrote says something that is not allowed
├── DataError                a shop's data cannot be read or used
├── StateError               what lies on disk is damaged, or from another version
├── ProtocolError            the two sides do not follow the same agreement
│   ├── VersionMismatch      ... they speak different versions
│   ├── FingerprintMismatch  ... they hold different contracts
│   └── Refused              ... this side will not do what it was asked
├── PrivacyError             a release would break the guarantee that was promised to shoppers
│   ├── BudgetExhausted      ... it would cost more than is left
│   └── UnaccountedRelease   ... the ledger does not hold what it must hold
└── AggregationError         a round cannot be completed
    └── QuorumNotReached     ... too few usable replies before the deadline
```

Messages of these errors may name files, keys and values, so they stay on the machine where they are
raised. What crosses the wire instead is a code of `shared_model.protocol.Refusal`.
"""

from pathlib import Path


class FedbazaarError(Exception):
    """Base of the family; a command line prints it without a traceback."""


class ConfigError(FedbazaarError):
    """A declared value is unknown, has the wrong type or lies outside its range.

    Attributes:
        file: The file that holds it, or a word for where it came from.
        key: Dotted path of the key inside the file; empty for the whole file.
        value: The offending value, as found; None where a key is missing.
        allowed: What may stand there, in words.
    """

    def __init__(self, file: Path | str, key: str, value: object, allowed: str) -> None:
        self.file, self.key, self.value, self.allowed = str(file), key, value, allowed
        found = "is missing" if value is None else f"is {value!r}"
        super().__init__(f"{self.file}: {key or 'the file'} {found}; allowed: {allowed}")


class DataError(FedbazaarError):
    """A source cannot be read, or holds nothing that can be used; says which source and what to do."""


class StateError(FedbazaarError):
    """A state file is damaged or was written by another version; nothing was changed."""


class ProtocolError(FedbazaarError):
    """A message does not follow the wire contract."""


class VersionMismatch(ProtocolError):
    """The other side speaks another version of the wire contract."""


class FingerprintMismatch(ProtocolError):
    """The other side holds another `federation.toml`."""


class Refused(ProtocolError):
    """This side will not do what it was asked.

    Attributes:
        code: A number of `shared_model.protocol.Refusal`; it alone crosses the wire.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class PrivacyError(FedbazaarError):
    """A release would break the guarantee that was promised to shoppers; nothing was released."""


class BudgetExhausted(PrivacyError):
    """The release would cost more than the budget has left."""


class UnaccountedRelease(PrivacyError):
    """The ledger is missing, rolled back or used by somebody else, so that a release could not be counted."""


class AggregationError(FedbazaarError):
    """A round cannot be completed."""


class QuorumNotReached(AggregationError):
    """Too few usable replies arrived before the deadline; the last checkpoint stands."""
