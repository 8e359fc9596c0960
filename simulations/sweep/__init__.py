"""One experiment at every point of a grid: any key of its contract or of the experiment itself.

`plan` reads the file and checks every point, `work` trains one of them, `running` all of them, `table` turns
their predictions into numbers and names the best point on validation rows, `page` shows them.
"""
