"""What the rows of some shops teach about another one.

`leaving_out` measures what a merchant is served that joins after the training, while its orders come in;
`curves` and `curves_page` make learning curves of it. `matrix` serves what one group alone knows at another;
`cells` says by how much that is better than alone, and `matrix_page` draws the map.
"""
