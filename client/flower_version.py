"""Which Flower this is written for: what it uses of Flower's inside moves from one version to the next."""

from importlib.metadata import version

from shared_model.errors import ConfigError

SUPPORTED = "1.41"


def check_flower() -> None:
    """Refuse an installed Flower of another version.

    Raises:
        ConfigError: It is another version.
    """
    found = version("flwr")
    if not found.startswith(f"{SUPPORTED}."):
        allowed = f"{SUPPORTED}.*; install it with `pip install 'flwr=={SUPPORTED}.*'`"
        raise ConfigError("flwr", "version", found, allowed)
