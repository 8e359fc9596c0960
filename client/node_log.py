"""What a SuperNode writes, in words for the merchant: why it ended, and whether the coordinator answers.

Flower's exit code is 1 for nearly everything; only its text tells one reason from another. The texts are
those of the version that `flower_version.py` names (`tests/client/test_node_log.py` has copies of them,
`tests/client/test_up_deployed.py` asks for some of them anew).
"""

import re
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from shared_model.processes import Ending

_CONNECTED = re.compile(r"SuperNode ID: \d+")
_FAILED = "Connection attempt failed"
_BACK = "Connection successful after"
_PATIENT_ATTEMPTS = 3
"""So many failed attempts in a row are told; one or two happen whenever the coordinator restarts."""


def endings(address: str) -> Sequence[Ending]:
    """Return how the exits of a node are explained that connects to `address`, the surest sign first."""
    host = address.rpartition(":")[0]
    return (
        Ending(
            pattern="certificate has expired",
            reason="the coordinator's certificate has expired; the coordinator has to renew it",
            delay_seconds=60.0,
        ),
        Ending(
            pattern="certificate is not yet valid",
            reason="the coordinator's certificate is not valid yet; is the clock of this machine right?",
            delay_seconds=60.0,
        ),
        Ending(
            pattern="Hostname mismatch|IP address mismatch",
            reason=f"the coordinator's certificate is not made for {host}; check connect.address",
            delay_seconds=60.0,
        ),
        Ending(
            pattern="unable to get (local )?issuer certificate|self.signed certificate",
            reason="the coordinator's certificate was not signed by the authority that connect.certificates "
            "names; the invitation is another coordinator's, or somebody stands in between",
            delay_seconds=60.0,
        ),
        Ending(
            pattern="WRONG_VERSION_NUMBER|wrong version number|record layer failure",
            reason=f"what answers at {address} does not speak TLS; is the port the right one?",
            delay_seconds=30.0,
        ),
        Ending(
            pattern="CERTIFICATE_VERIFY_FAILED",
            reason="the coordinator's certificate cannot be trusted; the log of the node says more",
            delay_seconds=60.0,
        ),
        Ending(
            pattern="SSL/TLS handshake error",
            reason="the connection was cut while it was being secured",
            delay_seconds=5.0,
        ),
        Ending(
            pattern=r"\[code: 2004\]",
            reason="the coordinator does not let this node in: its public key (node.pub) is not enrolled, or "
            "no longer; or a node with this key was killed, which the coordinator notices within a minute",
            delay_seconds=15.0,
        ),
        Ending(
            pattern="Exit Code: 302",
            reason="connect.node_key is not a private key on a NIST curve in OpenSSH's format",
            delay_seconds=60.0,
        ),
        Ending(
            pattern="Exit Code: 606",
            reason="the coordinator runs another version of Flower",
            delay_seconds=60.0,
        ),
        Ending(
            pattern="address already in use",
            reason="its local port is taken by another program; set connect.runtime_port to a free one, or "
            "start `up` anew",
            delay_seconds=15.0,
        ),
        Ending(
            pattern="terminated gracefully",  # what Flower does with status 401; a stop is never explained
            reason="the coordinator does not accept the signature of this node: the two clocks are more than "
            "five minutes apart, or the node was withdrawn",
            delay_seconds=15.0,
        ),
        Ending(
            pattern="Failed to initialize the connection",
            reason=f"no connection to {address}; the log of the node says more",
            delay_seconds=15.0,
        ),
    )


def is_connected(log: Path) -> bool:
    """Whether the node that writes `log` was let in by the coordinator."""
    return _CONNECTED.search(_text(log)) is not None


def is_answering(log: Path) -> bool:
    """Whether the bridge that writes `log` has begun its work (`client.bridge`)."""
    return "answering for the node" in _text(log)


def _text(log: Path) -> str:
    try:
        return log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


class Reachability:
    """Follows a node's log and tells when the coordinator stops answering, and when it answers again."""

    def __init__(self, log: Path, address: str, tell: Callable[[str], None]) -> None:
        """Nothing is read yet.

        Args:
            log: What the node writes; it may be replaced by a new one at any time.
            address: Of the coordinator.
            tell: Is told each change, once.
        """
        self._log, self._address, self._tell = log, address, tell
        self._file, self._read = 0, 0
        self._failed = 0

    def look(self) -> None:
        """Read what is new in the log."""
        for line in self._new_lines():
            if _FAILED in line:
                self._failed += 1
                if self._failed == _PATIENT_ATTEMPTS:
                    self._tell(f"{self._address} does not answer{_unknown(self._address)}; trying on")
            elif _BACK in line or _CONNECTED.search(line):
                if self._failed >= _PATIENT_ATTEMPTS:
                    self._tell(f"{self._address} answers again")
                self._failed = 0

    def _new_lines(self) -> list[str]:
        try:
            found = self._log.stat()
            if found.st_ino != self._file or found.st_size < self._read:
                self._file, self._read, self._failed = found.st_ino, 0, 0
            with self._log.open("rb") as file:
                file.seek(self._read)
                new, newline, _ = file.read().rpartition(b"\n")
        except OSError:
            return []
        self._read += len(new) + len(newline)
        return new.decode(errors="replace").splitlines()


def _unknown(address: str) -> str:
    """Say so where the host of an address is known to nobody."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return f" (no machine is known under the name {host})"
    return ""
