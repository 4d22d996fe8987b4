"""Parameters of the modules of published protocols."""

from wildcore import Params, StopStrings


class StripStopsParams(Params):
    """Parameters of ``strip-stops``."""

    stops: StopStrings = (".", "\n")
    """Decoding ends with a token that holds one of these. Each is then taken off the end once, in this order."""
