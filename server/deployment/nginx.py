"""nginx before the SuperLink: its configuration, with the rules of `server.deployment.gate`.

Three traps, each a line below. Connections to the SuperLink are given up before it hangs up on them, since
nginx does not repeat a POST. The largest body is larger than Flower's objects, which nginx's default is not.
And paths that nodes use are never answered with 401 or 403.
"""

import grp
import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path

from shared_model import files
from shared_model.errors import ConfigError, StateError

from .gate import FLEET_PATHS, LARGEST_BODY, PULL_MESSAGES
from .market import Market

_PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin")
_UNSPEAKABLE = set('"\\${};\n')


def program() -> Path | None:
    """Return where nginx is installed, or None."""
    found = shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), *_PLACES]))
    return Path(found) if found else None


def write(market: Market, *, superlink_port: int, superlink_ca: Path) -> Path:
    """Write the configuration for a coordinator's folder; return the file.

    Raises:
        ConfigError: The path of a file cannot be written in nginx's language.
    """
    folder = market.state / "nginx"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "nginx.conf"
    text = configuration(market, folder, superlink_port=superlink_port, superlink_ca=superlink_ca)
    files.write(path, text.encode(), durable=False)
    return path


def command(nginx: Path, path: Path) -> list[str | Path]:
    """Return what runs nginx in the foreground with the configuration at `path`."""
    return [nginx, "-p", path.parent, "-c", path, "-e", "stderr"]


def check(nginx: Path, path: Path) -> None:
    """Let nginx read its configuration.

    Raises:
        StateError: It cannot; the message says why in nginx's words.
    """
    ran = subprocess.run([*command(nginx, path), "-t"], capture_output=True, text=True, check=False)
    if ran.returncode:
        reason = ran.stderr.strip().splitlines()[0] if ran.stderr.strip() else f"exit code {ran.returncode}"
        raise StateError(
            f'{nginx} does not accept {path}: {reason}. Set proxy = "embedded" to do without it.'
        )


def configuration(market: Market, folder: Path, *, superlink_port: int, superlink_ca: Path) -> str:
    """Return the text of the configuration.

    Args:
        market: The coordinator's folder.
        folder: nginx's own, for what it writes.
        superlink_port: On loopback.
        superlink_ca: Vouches for the SuperLink.

    Raises:
        ConfigError: As for `write`.
    """
    names = "|".join(re.escape(path.rpartition("/")[2]) for path in FLEET_PATHS)
    listen = market.listen
    temporary = "\n".join(
        f"  {kind}_temp_path {_quoted(folder / kind)};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    doorman = _quoted(market.gate_socket, before="unix:")
    pull = "http://doorman" if market.settings.doorman else "https://superlink"
    return f"""\
# Written by `fedbazaar-server up` at every start.
daemon off;
{_user()}
worker_processes auto;
worker_rlimit_nofile 16384;
pid {_quoted(folder / "nginx.pid")};
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
{temporary}
  access_log off;
  server_tokens off;

  # The target as it was sent, before anything is decoded or normalised.
  map $request_uri $for_nodes {{ default 0; "~^/v1/fleet/({names})$" 1; }}

  upstream superlink {{ server 127.0.0.1:{superlink_port}; keepalive 32; keepalive_timeout 3s; }}
  upstream doorman {{ server {doorman}; keepalive 64; keepalive_timeout 3s; }}

  server {{
    listen {listen} ssl;
    ssl_certificate {_quoted(market.certificate)};
    ssl_certificate_key {_quoted(market.private_key)};
    ssl_protocols TLSv1.2 TLSv1.3;
    keepalive_timeout 75s;
    client_max_body_size {LARGEST_BODY};

    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    proxy_request_buffering off;
    proxy_buffers 16 64k;
    proxy_buffer_size 16k;
    proxy_busy_buffers_size 128k;
    proxy_max_temp_file_size 0;
    proxy_read_timeout 60s;
    proxy_send_timeout 60s;
    proxy_next_upstream off;
    proxy_ssl_trusted_certificate {_quoted(superlink_ca)};
    proxy_ssl_verify on;
    proxy_ssl_name localhost;

    if ($for_nodes = 0) {{ return 403; }}
    if ($request_method != POST) {{ return 405; }}
    location = {PULL_MESSAGES} {{ proxy_pass {pull}; }}
    location / {{ proxy_pass https://superlink; }}
  }}
}}
"""


def _user() -> str:
    """Who the workers are: started by root they would be somebody who cannot reach the doorman."""
    if os.geteuid():
        return ""
    return f"user {pwd.getpwuid(0).pw_name} {grp.getgrgid(0).gr_name};"


def _quoted(path: Path, *, before: str = "") -> str:
    if set(str(path)) & _UNSPEAKABLE:
        allowed = (
            'a path without quotes, braces, semicolons, backslashes and dollar signs, or proxy = "embedded"'
        )
        raise ConfigError(path, "", "not speakable in nginx's language", allowed)
    return f'"{before}{path}"'
