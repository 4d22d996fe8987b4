"""wildcore finds out whether a model edit really works.

These are the names that plugin authors need; importing them loads neither torch nor transformers. ``wildcore.models``,
``wildcore.tokens`` and ``wildcore.patches`` hold what works on a loaded model.
"""

from wildcore.errors import Refused, UserError, each_or_refusal
from wildcore.families import Family
from wildcore.hookspecs import hookimpl
from wildcore.interfaces import (
    Context,
    Dataset,
    Editor,
    Environment,
    Generator,
    KeptPatch,
    Metric,
    ModelSource,
    Offer,
    Patch,
    Progress,
    Saved,
    Shortcut,
    StopRule,
    Transform,
    Truncator,
)
from wildcore.params import ContextParams, EditorParams, ModelShape, NoParams, Params, Preset
from wildcore.types import (
    Answer,
    AnsweredProbe,
    EditCase,
    EditRequest,
    EvalProtocol,
    Gold,
    Malformed,
    Output,
    Probe,
    Prompt,
    Score,
    Use,
)

__all__ = [
    "Answer",
    "AnsweredProbe",
    "Context",
    "ContextParams",
    "Dataset",
    "EditCase",
    "EditRequest",
    "Editor",
    "EditorParams",
    "Environment",
    "EvalProtocol",
    "Family",
    "Generator",
    "Gold",
    "KeptPatch",
    "Malformed",
    "Metric",
    "ModelShape",
    "ModelSource",
    "NoParams",
    "Offer",
    "Output",
    "Params",
    "Patch",
    "Preset",
    "Probe",
    "Progress",
    "Prompt",
    "Refused",
    "Saved",
    "Score",
    "Shortcut",
    "StopRule",
    "Transform",
    "Truncator",
    "Use",
    "UserError",
    "each_or_refusal",
    "hookimpl",
]
