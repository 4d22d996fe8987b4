"""The parameters of the tracker ``mlflow``."""

from pydantic import field_validator

from wildcore import TrackerParams


class MlflowParams(TrackerParams):
    """Where the runs are stored."""

    uri: str | None = None
    """Address of a server (http://...) or of a database (sqlite:///mlflow.db), or a folder. Left out: what
    MLFLOW_TRACKING_URI says, else the folder mlruns."""

    experiment: str = "wildcore"
    """The experiment of the runs; it is made if it does not exist."""

    @field_validator("experiment")
    @classmethod
    def _named(cls, experiment: str) -> str:
        if not experiment.strip():
            raise ValueError("the name of an experiment must not be empty")
        return experiment
