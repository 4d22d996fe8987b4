"""wildcore in Python, for a notebook: everything that the command line does with a model, on a model that stays loaded.

    from wildcore import api

    model = api.load("pocket")
    method = api.editor(NAME, layer=1)
    fact = api.fact("The capital of France is", "Lyon", subject="France")
    patch = api.edit(model, method, [fact])
    api.ask(model, ["The capital of France is"], protocol="wild", patch=patch)
    result = api.evaluate(model, method, dataset="pocketqa", limit=20)
    result.table()

Names, parameters and messages are those of the command line, and so are the numbers: both run the same code. No function leaves
anything behind in the model or in this module, so the order of calls changes no result. Bad input raises ``UserError``.
Importing this module loads neither torch nor transformers.
"""

from wildcore.api.asking import Reply, ask, question
from wildcore.api.editors import EditorChoice, editor
from wildcore.api.models import load
from wildcore.api.patches import ModelPatch, edit, fact, open_patch
from wildcore.api.runs import Result, evaluate, score
from wildcore.errors import UserError
from wildcore.jobs.protocol_files import read_protocol
from wildcore.types import EditRequest, Probe

__all__ = [
    "EditRequest",
    "EditorChoice",
    "ModelPatch",
    "Probe",
    "Reply",
    "Result",
    "UserError",
    "ask",
    "edit",
    "editor",
    "evaluate",
    "fact",
    "load",
    "open_patch",
    "question",
    "read_protocol",
    "score",
]
