"""`fedbazaar-server up`: the SuperLink on loopback, the door before it, and the members registered.

Guarantees:
    * Nothing is started when something is known to be wrong: another `up`, a taken port, a certificate that
      merchants would not accept, a key that is not the contract's.
    * The SuperLink listens on loopback only; what listens to the world passes the fleet paths and nothing
      else (`server.deployment.gate`).
    (`tests/server/deployment/test_starting.py`, `tests/server/deployment/test_up.py`)
"""

import socket
import ssl
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from shared_model import processes, signing
from shared_model.errors import ConfigError, StateError
from shared_model.processes import Child, Ending
from shared_model.schema import load_federation

from . import certificates, flower, founding, gate, nginx, registration, superlink, thin_app
from .gate import Gate
from .market import SETTINGS, Market

_ENDINGS = (
    Ending(pattern=r"(?i)address already in use", reason="the port to listen on is taken"),
    Ending(pattern=r"(?i)permission denied", reason="this user may not listen there"),
    Ending(pattern=r"No space left on device", reason="the disk is full"),
)
_JOIN_SECONDS = 5.0


@dataclass(frozen=True)
class Door:
    """What stands before the SuperLink.

    Attributes:
        name: As the user is told.
        children: Its processes, in order.
    """

    name: str
    children: tuple[Child, ...]


def start(market: Market, console: Console) -> None:
    """Start the coordinator's processes and keep them running until told to stop.

    Raises:
        ConfigError: Contract, keys, certificates, address or ports do not fit; says what to do.
        StateError: Another `up` runs for this folder, or nginx does not accept its configuration.
    """
    days = check(market)
    with processes.only_one(market.lock, what=f"`up` for {market.folder}"):
        _check_listen(market)
        founding.write_invitation(market)
        thin_app.write(market.app)
        number = superlink.prepare(market)
        door = door_of(market, number)
        _supervised(market, door, superlink.child(market, number), days, console)


def check(market: Market) -> int:
    """Check what can be checked before anything is started; return the certificate's days left.

    Raises:
        ConfigError: Something does not fit.
        StateError: The signing key is missing or no key.
    """
    flower.check_version()
    market.check_sockets()
    if not market.signing_key.exists():
        raise StateError(f"{market.signing_key} is missing: restore it from a copy. Nothing can be signed.")
    ours = signing.public_key(market.signing_key.read_bytes())
    theirs = load_federation(market.contract).federation.coordinator_key
    if ours != theirs:
        raise ConfigError(market.contract, "federation.coordinator_key", theirs, f"{ours}, the key in keys/")
    return certificates.check(market.certificate, market.private_key, market.ca, market.address.host)


def door_of(market: Market, number: int) -> Door:
    """Return what is to stand before the SuperLink at port `number`.

    Raises:
        ConfigError: nginx is asked for and not installed, or a path cannot be told to it.
        StateError: nginx does not accept its configuration.
    """
    found = None if market.settings.proxy == "embedded" else nginx.program()
    if found is None and market.settings.proxy == "nginx":
        allowed = '"embedded", or "nginx" once it is installed: apt install nginx-light'
        raise ConfigError(market.folder / SETTINGS, "proxy", "nginx", allowed)
    return _embedded(market, number) if found is None else _behind_nginx(market, number, found)


def _embedded(market: Market, number: int) -> Door:
    set_up = Gate(
        upstream=f"https://{superlink.HOST}:{number}",
        upstream_ca=str(superlink.files_of(market).ca),
        host=market.listen.host,
        port=market.listen.port,
        certificate=str(market.certificate),
        private_key=str(market.private_key),
        poke_socket=str(market.poke_socket) if market.settings.doorman else "",
    )
    return Door("embedded", (_gate(market, set_up, "proxy", lambda: listens(market)),))


def _behind_nginx(market: Market, number: int, program: Path) -> Door:
    path = nginx.write(market, superlink_port=number, superlink_ca=superlink.files_of(market).ca)
    nginx.check(program, path)
    before = Child(
        name="nginx",
        command=nginx.command(program, path),
        environment=flower.environment(market.flower_home),
        log=market.logs / "nginx.log",
        ready=lambda: listens(market),
        endings=_ENDINGS,
    )
    if not market.settings.doorman:
        return Door("nginx", (before,))
    set_up = Gate(
        upstream=f"https://{superlink.HOST}:{number}",
        upstream_ca=str(superlink.files_of(market).ca),
        socket=str(market.gate_socket),
        poke_socket=str(market.poke_socket),
    )
    behind = _gate(market, set_up, "doorman", market.poke_socket.exists)
    return Door("nginx, with the doorman behind it", (behind, before))


def _gate(market: Market, set_up: Gate, name: str, ready: Callable[[], bool]) -> Child:
    path = market.state / "gate.json"
    gate.write(set_up, path)
    return Child(
        name=name,
        command=[sys.executable, "-P", "-m", "server.deployment.gate", path],
        environment=flower.environment(market.flower_home),
        log=market.logs / f"{name}.log",
        ready=ready,
        endings=_ENDINGS,
    )


def listens(market: Market) -> bool:
    """Whether somebody at the listening address speaks TLS."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(market.listen.host, market.listen.host)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # only whether, not who
    try:
        with socket.create_connection((host, market.listen.port), timeout=2.0) as plain:
            context.wrap_socket(plain).close()
    except OSError:
        return False
    return True


def _check_listen(market: Market) -> None:
    where, key = market.listen, "listen" if market.settings.listen else "address"
    try:
        free = superlink.is_free(where.host, where.port)
    except OSError as error:
        allowed = "an address of this machine, and a port that this user may listen on (1024 and above)"
        raise ConfigError(market.folder / SETTINGS, key, f"{where} ({error.strerror})", allowed) from None
    if not free:
        raise ConfigError(market.folder / SETTINGS, key, f"{where}, which is taken", "a free port")


def _supervised(market: Market, door: Door, link: Child, days: int, console: Console) -> None:
    children, waiting = (link, *door.children), {link.name, *(child.name for child in door.children)}
    threads: list[threading.Thread] = []

    def announce(name: str, event: str, reason: str) -> None:
        _say(console, f"{name} {event}{f': {reason}' if reason else ''}")
        if event != "ready":
            return
        if name == link.name:
            threads.append(threading.Thread(target=_registered, args=(market, console), daemon=True))
            threads[-1].start()
        if name in waiting:
            waiting.remove(name)
            if not waiting:
                console.print(_summary(market, door, days))

    processes.supervise(children, announce=announce)
    for thread in threads:  # its Flower commands find nobody any more
        thread.join(_JOIN_SECONDS)


def _registered(market: Market, console: Console) -> None:
    try:
        registration.reconcile(market, lambda text: _say(console, text))
    except (StateError, ConfigError) as error:
        _say(console, f"Members could not be registered: {error} They are tried again at the next start.")


def _summary(market: Market, door: Door, days: int) -> Table:
    table = Table(title="The coordinator is ready", show_header=False, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("address", f"{market.address} (listening on {market.listen})")
    table.add_row("authority", certificates.fingerprint(market.ca))
    table.add_row("certificate", f"{days} days left{_WARNING if days < certificates.WARN_DAYS else ''}")
    table.add_row("proxy", door.name)
    table.add_row("contract", load_federation(market.contract).fingerprint)
    table.add_row("invitation", str(market.invitation))
    table.add_row("next", "`fedbazaar-server run` in another terminal; Ctrl-C here stops everything")
    return table


_WARNING = ": renew it soon with `fedbazaar-server renew`, then start again"


def _say(console: Console, text: str) -> None:
    console.print(
        f"{datetime.now():%H:%M:%S}  {text}", highlight=False, markup=False, emoji=False, soft_wrap=True
    )
