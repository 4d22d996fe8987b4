"""Raises an error that would clear the terminal and colour what follows."""

raise RuntimeError("\x1b[2J\x1b[31mall is well\x9b\u202e")
