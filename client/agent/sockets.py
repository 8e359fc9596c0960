"""Folders and sockets of an agent, with the permissions that keep the boundary real.

gRPC tells no server who connects: the modes set here are the whole access control.

Guarantees (`tests/client/agent/test_sockets.py`):
    * A socket is never, not for a moment, open to more users than it is for.
    * Nobody else can put a socket of their own in its place.
    * The socket of a killed agent is replaced, that of a running one is not.
"""

import grp
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from client.connection import LONGEST_SOCKET
from shared_model.errors import ConfigError, StateError

from .addresses import listens, target

_SOURCE = "the agent's sockets"


def own_folder(state: Path) -> None:
    """Make the state folder where it is missing, and close it to everybody else.

    Raises:
        StateError: It belongs to another user.
    """
    try:
        state.mkdir(parents=True, exist_ok=True)
        state.chmod(0o700)
    except PermissionError:
        raise StateError(
            f"{state} belongs to another user. Run the agent as that user, or chown it."
        ) from None


def remove_unfinished(state: Path) -> None:
    """Remove what a killed agent had begun to write (`shared_model.files.replacing`); never a whole file."""
    for path in state.rglob(".*.tmp"):
        path.unlink(missing_ok=True)


def socket_folder(path: Path, *, group: str) -> None:
    """Make the folder of a socket where it is missing: 0750 for `group`, 0700 without one.

    A folder that exists is left as it is.

    Raises:
        ConfigError: Other users could replace the socket there, the group could not reach it, or there is no
            such group.
    """
    folder = path.parent
    if not folder.exists():
        folder.mkdir(parents=True)
        if group:
            _give(folder, group, 0o750)
        else:
            folder.chmod(0o700)
        return
    found = folder.stat()
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            _SOURCE,
            "connect.socket",
            str(path),
            f"a folder that only its owner writes to (chmod go-w {folder})",
        )
    if group and not _lets_in(found, _group_id(group)):
        raise ConfigError(
            _SOURCE,
            "connect.socket",
            str(path),
            f"a folder that the group {group} may enter (chgrp {group} {folder}; chmod 750 {folder})",
        )


def bind(server: Any, path: Path, *, group: str = "") -> None:
    """Let a gRPC server listen at `path`: 0660 for `group`, 0600 without one.

    Raises:
        ConfigError: There is something else, the path is too long, or the group cannot be given the socket.
        StateError: A process listens there already, or the system refuses.
    """
    _check_length(path)
    _check_free(path)
    before = os.umask(0o177)
    try:
        server.add_insecure_port(target(path))
    except RuntimeError:
        raise StateError(f"{path}: no socket can be made there; may this user write to the folder?") from None
    finally:
        os.umask(before)
    if group:
        _give(path, group, 0o660)


def remove(path: Path) -> None:
    """Remove a socket of this process."""
    with suppress(OSError):
        path.unlink()


def _check_length(path: Path) -> None:
    length = len(os.fsencode(path.absolute()))
    if length > LONGEST_SOCKET:
        allowed = f"a path of at most {LONGEST_SOCKET} bytes (this one has {length}); use a shorter folder"
        raise ConfigError(_SOURCE, path.name, str(path), allowed)


def _check_free(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(
            _SOURCE, path.name, str(path), "a path where nothing lies, or an agent's old socket"
        )
    if listens(path):
        raise StateError(f"another process listens at {path}. Stop it first, or choose another socket.")


def _give(path: Path, group: str, mode: int) -> None:
    try:
        os.chown(path, -1, _group_id(group))
        os.chmod(path, mode)
    except PermissionError:
        path.rmdir() if path.is_dir() else path.unlink()
        allowed = f"a group that this user belongs to (usermod -aG {group} USER)"
        raise ConfigError(_SOURCE, "connect.socket_group", group, allowed) from None


def _group_id(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigError(
            _SOURCE, "connect.socket_group", group, "a group of this machine, or nothing"
        ) from None


def _lets_in(found: os.stat_result, group: int) -> bool:
    in_group = found.st_gid == group and found.st_mode & stat.S_IXGRP
    return bool(in_group or found.st_mode & stat.S_IXOTH)
