"""What can go wrong in a way that a user can mend."""


class UserError(Exception):
    """Bad input. The message names the thing, the place and the way out; the command line prints it and exits with 2."""


class Refused(Exception):
    """Raised by an editor that cannot carry out a request, such as one whose subject is not in its prompt.

    The case is counted and shown as refused; the run goes on.
    """


def nearest(name: str, known: list[str]) -> str:
    """Return a hint for an unknown ``name``: the closest of ``known``, or all of them."""
    import difflib

    matches = difflib.get_close_matches(name, known, n=1)
    if matches:
        return f"did you mean {matches[0]!r}?"
    return f"known: {', '.join(sorted(known)) or 'none'}"
