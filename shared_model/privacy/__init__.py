"""What was released, what it cost, and what is left: the arithmetic of the privacy guarantee.

`events` says what was released, `accounting` what that costs, `calibration` how much noise a plan needs, and
`ledger` keeps what was released on disk, before it is released.
"""
