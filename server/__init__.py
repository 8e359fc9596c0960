"""The coordinator: agrees, asks, aggregates, goes on after a stop."""
