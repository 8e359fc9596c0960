"""`python -m client.agent MERCHANT_TOML`: runs the agent of one merchant."""

import argparse
from pathlib import Path

from .hardening import refuse_inspection


def main() -> None:
    """Run the agent; an error of ours is one line on stderr and exit code 1."""
    refuse_inspection()  # before anything is read that others must not see
    from shared_model import command_line

    from . import program

    parser = argparse.ArgumentParser(prog="python -m client.agent", description=program.__doc__)
    parser.add_argument("merchant", type=Path, metavar="MERCHANT_TOML", help="The merchant's own file.")
    parser.add_argument("--seed", type=int, help="Repeat the draws of a simulation; never under privacy.")
    parser.add_argument("--threads", type=int, default=1, help="Threads of torch (default: 1).")
    asked = parser.parse_args()
    command_line.run(lambda: program.run(asked.merchant, seed=asked.seed, threads=asked.threads))


if __name__ == "__main__":
    main()
