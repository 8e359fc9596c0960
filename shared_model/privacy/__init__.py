"""What was released, what it cost, and what is left: the arithmetic of the privacy guarantee.

`events` says what was released, `gaussian` and `accounting` what that costs, `calibration` how much noise a
plan needs, and `plan` what a contract plans. `charges`, `limits` and `ledger` keep what was released on the
disk, before it is released, and stop in time.
"""
