"""The commands of `fedbazaar-sim`, put together by what they do; `simulations.cli` lists them.

`runs` makes and repeats one run, `studies` asks questions of an experiment, `markets` makes data, `benchmark`
measures. `asking` is what they share, `shown` prints what a study found.
"""
