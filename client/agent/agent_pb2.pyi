from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Nothing(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Description(_message.Message):
    __slots__ = ("name", "tier", "tasks", "role")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    tier: str
    tasks: _containers.RepeatedScalarFieldContainer[str]
    role: str
    def __init__(self, name: _Optional[str] = ..., tier: _Optional[str] = ..., tasks: _Optional[_Iterable[str]] = ..., role: _Optional[str] = ...) -> None: ...

class Instruction(_message.Message):
    __slots__ = ("version", "kind", "fingerprint", "lineage", "round", "digest", "merchant", "answered", "signature", "ledger")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    LEDGER_FIELD_NUMBER: _ClassVar[int]
    version: int
    kind: str
    fingerprint: str
    lineage: str
    round: int
    digest: str
    merchant: str
    answered: int
    signature: str
    ledger: str
    def __init__(self, version: _Optional[int] = ..., kind: _Optional[str] = ..., fingerprint: _Optional[str] = ..., lineage: _Optional[str] = ..., round: _Optional[int] = ..., digest: _Optional[str] = ..., merchant: _Optional[str] = ..., answered: _Optional[int] = ..., signature: _Optional[str] = ..., ledger: _Optional[str] = ...) -> None: ...

class Question(_message.Message):
    __slots__ = ("instruction", "chunk")
    INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    instruction: Instruction
    chunk: bytes
    def __init__(self, instruction: _Optional[_Union[Instruction, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class Told(_message.Message):
    __slots__ = ("ledger", "telemetry", "scales")
    LEDGER_FIELD_NUMBER: _ClassVar[int]
    TELEMETRY_FIELD_NUMBER: _ClassVar[int]
    SCALES_FIELD_NUMBER: _ClassVar[int]
    ledger: str
    telemetry: _containers.RepeatedScalarFieldContainer[float]
    scales: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, ledger: _Optional[str] = ..., telemetry: _Optional[_Iterable[float]] = ..., scales: _Optional[_Iterable[float]] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("told", "chunk")
    TOLD_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    told: Told
    chunk: bytes
    def __init__(self, told: _Optional[_Union[Told, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class StatusReport(_message.Message):
    __slots__ = ("json",)
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: str
    def __init__(self, json: _Optional[str] = ...) -> None: ...
