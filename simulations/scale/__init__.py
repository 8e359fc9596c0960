"""What a federation of ten to ten thousand merchants costs a simulation, and what it teaches them.

`plan` reads the file, `work` runs one size of a market in a process of its own, `table` and `page` say what
came of all of them.
"""
