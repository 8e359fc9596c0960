"""Where an agent listens, as gRPC wants to be told."""

import socket as sockets
from pathlib import Path
from urllib.parse import quote

CHANNEL_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # no memory of an agent that was away a moment ago
)
"""Of whoever connects. What may be received in one message stays at gRPC's own 4 MiB."""


def owner_socket(state: Path) -> Path:
    """Return the socket of the `Owner` service of the merchant with this state folder."""
    return state / "owner.sock"


def target(socket: Path) -> str:
    """Return the address of a socket for gRPC.

    >>> target(Path("/run/the shop/agent.sock"))
    'unix:/run/the%20shop/agent.sock'
    """
    return f"unix:{quote(str(socket.absolute()))}"


def listens(socket: Path) -> bool:
    """Whether some process listens at a socket that this user may connect to."""
    with sockets.socket(sockets.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(socket))
        except OSError:
            return False
    return True
