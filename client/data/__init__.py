"""Reading and encoding a merchant's data; nothing of it leaves the machine."""
