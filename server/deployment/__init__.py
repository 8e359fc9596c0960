"""The coordinator of a real federation: its folder, its members, its SuperLink behind a proxy, its runs."""
