"""A merchant's machine with two users, set up by the very commands of `docs/deploy.md`.

Everything happens in a mount namespace of its own: `/etc` is a copy there, `/srv` and `/run` are empty. Users
and groups are real, and the machine of whoever runs the tests stays as it is, however they end.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AGENT, NODE, STRANGER = "shop-agent", "shop-node", "shop-stranger"
NEEDED = (sys.base_prefix, sys.prefix, str(ROOT))
"""What a user must be able to read to run our commands."""

_MOUNTS = """
set -eu
cp -a /etc "$1/etc" && mount --bind "$1/etc" /etc
mount -t tmpfs -o mode=755 tmpfs /srv
mount -t tmpfs -o mode=755 tmpfs /run
"""
_OPENED = """
mkdir -p "$1/kept/{number}" && mount --bind "{path}" "$1/kept/{number}"
mount -t tmpfs -o mode=755 tmpfs "{closed}"
mkdir -p "{path}" && mount --bind "$1/kept/{number}" "{path}"
"""
"""Makes a folder that lies below one that only root may enter reachable for all, under the same path."""


def why_not() -> str:
    """Return why there can be no such machine here, or nothing."""
    if os.geteuid() != 0:
        return "only root can become two other users"
    ran = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/srv"], capture_output=True, check=False
    )
    return f"no mounts are allowed here: {ran.stderr.decode().strip()}" if ran.returncode else ""


def guide() -> str:
    """Return the commands with which `docs/deploy.md` sets two users up."""
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    part = text.split("\n## Two users at the merchant\n")[1].split("\n## ")[0]
    return "".join(re.findall(r"^```bash\n(.*?)^```", part, re.DOTALL | re.MULTILINE))


@dataclass(frozen=True)
class Premises:
    """The machine.

    Attributes:
        holder: Process that keeps the namespace.
    """

    holder: int

    def path(self, inside: str) -> Path:
        """Return where a path of the machine is found from outside, for root."""
        return Path(f"/proc/{self.holder}/root{inside}")

    def called(self, *command: str | Path, user: str = "") -> Sequence[str]:
        """Return a command line that runs `command` there, as root or as `user` with that user's groups."""
        inside = ["nsenter", f"--target={self.holder}", "--mount", "--wd"]
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        return [*inside, *become, *map(str, command)]

    def run(self, *command: str | Path, user: str = "", told: str = "") -> str:
        """Run a command to its end and return what it printed."""
        ran = subprocess.run(
            self.called(*command, user=user), input=told, capture_output=True, text=True,
            env=environment(), check=False,
        )  # fmt: skip
        assert ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"
        return ran.stdout

    def start(self, *command: str | Path, user: str, output: Path, **more: str) -> "subprocess.Popen[bytes]":
        """Start a command with `more` in its environment."""
        with output.open("wb") as file:
            return subprocess.Popen(
                self.called(*command, user=user), stdin=subprocess.DEVNULL, stdout=file,
                stderr=subprocess.STDOUT, env=environment(**more),
            )  # fmt: skip


def environment(**more: str) -> dict[str, str]:
    """Return what a command is started with."""
    commands = os.pathsep.join((str(Path(sys.executable).parent), "/usr/sbin:/usr/bin:/sbin:/bin"))
    return {"PATH": commands, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **more}


@contextmanager
def premises(folder: Path) -> Iterator[Premises]:
    """Yield a machine without users; `folder` takes its copy of `/etc`."""
    script = _MOUNTS + "".join(
        _OPENED.format(number=number, path=path, closed=closed)
        for number, (path, closed) in enumerate(closed_off())
    )
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", f"{script}\necho made\nread _"]
    with subprocess.Popen(
        [*command, "sh", str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/"
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"made\n"
        try:
            yield Premises(holder.pid)
        finally:
            holder.stdin.close()


def closed_off() -> Iterator[tuple[str, str]]:
    """Yield needed folders that other users cannot reach, each with the folder that keeps them out."""
    for path in dict.fromkeys(NEEDED):
        above = [folder for folder in reversed(Path(path).parents) if not folder.stat().st_mode & 0o001]
        if above:
            yield path, str(above[0])
