"""Ask, edit, ask again: from a case to its record."""
