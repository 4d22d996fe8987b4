"""The forms of what the commands of ``study`` print with ``--json``."""

from wildcore.json_documents import JsonDocument

PLAN = JsonDocument("study-plan", 1, "wildcore_study.status:StudyState")
STATUS = JsonDocument("study-status", 1, "wildcore_study.status:StudyStates")
TABLES = JsonDocument("study-collect", 1, "wildcore_study.tables:Report")
