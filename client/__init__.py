"""One merchant: its data, its model and heads, and the door through which it is reached."""
