"""A cohort of simulated merchants trained as one program: every parameter has a leading merchant axis.

`grid.VectorisedGrid` is the Flower grid that does it. The model is the product's own, since its layers have
both forms (`shared_model.layers`); so are the draws of every merchant, the losses, the clipping and the
noise. What a merchant computes does not depend on who else is in the cohort, up to the rounding of floats
(`tests/simulations/vectorised/`).

Merchants that choose among their own items have catalogues of different sizes: these are filled up, and
nothing is learnt from an item that is not there (`items.py`).

Notation: M merchants of a cohort, K local steps, B rows of a step (the most that a merchant has), U units.
"""
