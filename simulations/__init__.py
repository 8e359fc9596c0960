"""Merchants simulated on one machine, for research and tests."""
