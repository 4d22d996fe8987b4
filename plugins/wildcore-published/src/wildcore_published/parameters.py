"""Parameters of the modules of published protocols."""

from wildcore import Params, StopStrings


class StripStopsParams(Params):
    """Parameters of ``strip-stops``."""

    stops: StopStrings = (".", "\n")
    """Decoding ends with a token that contains one of these strings. Each is then removed from the end once, in this order."""
