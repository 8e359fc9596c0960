"""Other engines on the standard work, each in processes of its own."""
