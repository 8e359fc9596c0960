"""Every study is a directory that says what it was made from, and that can be made again.

`manifest` is what stands in it, `recording` writes it, `studies` lists what can be run, `results` says which
of its numbers are results and which are measured on a clock, `rerun` makes a run again and compares.
"""
