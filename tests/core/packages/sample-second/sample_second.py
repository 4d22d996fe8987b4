"""Works, and offers an editor under a name that another plugin uses too."""

from wildcore import NoParams, Offer, hookimpl


@hookimpl
def wildcore_editors():
    return [Offer("no-change", lambda params: None, NoParams, "another one of that name")]
