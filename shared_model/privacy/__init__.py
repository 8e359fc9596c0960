"""What was released, what it cost, and what is left: the arithmetic of the privacy guarantee."""
