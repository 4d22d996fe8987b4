"""Sends files to the Hugging Face hub. The token comes from the environment alone, and is neither shown nor recorded."""

import os
from collections.abc import Sequence
from pathlib import Path

from wildcore import Option, UserError
from wildcore.reporting.console import printable

TOKEN = "HF_TOKEN"
ENDPOINT = "HF_ENDPOINT"
USUAL_ENDPOINT = "https://huggingface.co"


def endpoint() -> str:
    """Return the address of the hub."""
    return os.environ.get(ENDPOINT, "").rstrip("/") or USUAL_ENDPOINT


def require_repository_name(name: str) -> None:
    """Raise ``UserError`` for a name that is not OWNER/NAME as the hub allows it."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(name)
        valid = name.count("/") == 1
    except HFValidationError:
        valid = False
    if not valid:
        raise UserError("not the name of a data set on the hub", Option("to_hub", name), "give OWNER/NAME")


def address(name: str) -> str:
    """Return the address of a data set on the hub."""
    return f"{endpoint()}/datasets/{name}"


def send(name: str, folder: Path, files: Sequence[str], public: bool, message: str) -> str:
    """Create the data set ``name`` if it does not exist, and send ``files`` of ``folder`` in one commit; return its address.

    Raises ``UserError`` without a token, if the data set is public and must not be, and if the hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
    from huggingface_hub.utils import disable_progress_bars

    token = os.environ.get(TOKEN)
    if not token:
        raise UserError(
            f"the hub needs a token, and {TOKEN} is not set", Option("to_hub", name), f"set {TOKEN} in the environment"
        )
    disable_progress_bars()
    api = HfApi(endpoint=endpoint(), token=token)
    try:
        api.create_repo(name, repo_type="dataset", private=not public, exist_ok=True)
        if not public and not api.repo_info(name, repo_type="dataset").private:
            raise UserError(
                "the data set exists and is public, so everyone would see the run",
                Option("to_hub", name),
                ("choose another name, or add ", Option("public", True)),
            )
        operations = [CommitOperationAdd(file, str(folder / file)) for file in files]
        commit = api.create_commit(name, operations, commit_message=message, repo_type="dataset")
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        reason = printable(" ".join(_reason(error).split())).replace(token, "...")
        raise UserError(
            f"the hub at {endpoint()} refused or cannot be reached ({reason})", Option("to_hub", name)
        ) from error
    return str(commit.repo_url)


def _reason(error: Exception) -> str:
    """Return what the hub said, or what prevented asking it."""
    response, said = getattr(error, "response", None), getattr(error, "server_message", None)
    return str(error) if response is None else f"{response.status_code} {said or ''}".strip()
