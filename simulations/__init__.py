"""Merchants simulated on one machine, for research and tests."""

import os

# Neither Flower nor Ray tells anybody that it is used. Both read this when they start.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Workers that were given no accelerator: what Ray will do anyway, and without telling so in every run.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
