"""What a moment says by itself, in the shop's own time zone."""

import math

import polars as pl


def calendar(timezone: str) -> dict[str, pl.Expr]:
    """Return month, weekday (1 is Monday), hour_block (0 to 5) and the season of the column `time`."""
    local = pl.col("time").dt.convert_time_zone(timezone)
    angle = local.dt.ordinal_day() * (2 * math.pi / 365)
    return {
        "month": local.dt.month(),
        "weekday": local.dt.weekday(),
        "hour_block": local.dt.hour() // 4,
        "season_sin": angle.sin(),
        "season_cos": angle.cos(),
    }
