"""How long a training takes, and whom it hears, under assumed speeds and opening hours of merchants.

The clock is simulated; what merchants need and when they are there is assumed by whoever writes the file.
`plan` reads it, `merchants` draws the merchants, `timeline` answers questions on their clock, `rounds` asks
as the coordinator does, `training` lets the real coordinator ask, `table` and `page` say what came of it.
"""
