"""Parameters of the modules of published protocols."""

from pydantic import field_validator

from wildcore import Params


class StripStopsParams(Params):
    """Parameters of ``strip-stops``."""

    stops: tuple[str, ...] = (".", "\n")
    """Decoding ends with a token that holds one of these. Each is then taken off the end once, in this order."""

    @field_validator("stops")
    @classmethod
    def _not_empty(cls, stops: tuple[str, ...]) -> tuple[str, ...]:
        if not stops or "" in stops:
            raise ValueError("give at least one stop string, none of them empty")
        return stops
