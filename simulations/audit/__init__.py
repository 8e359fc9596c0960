"""Audits that could prove the privacy claim wrong: certificates, lower bounds, attacks, mutants."""
