"""One module per kind of row: from canonical tables to examples with leak-free columns and labels."""
