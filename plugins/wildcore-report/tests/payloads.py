"""Made-up data of reports: small, long, and with hostile texts. Each is checked against the models of the payload."""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

from wildcore_report.assemble import page
from wildcore_report.payload import CaseDetail, CasesIndex, Summary
from wildcore_report.texts import in_script, packed

PROTOCOLS = ("synthetic", "wild", "wild-chat")
KINDS = ("reliability", "generalization", "locality")
PLACES = tuple((protocol, kind) for protocol in PROTOCOLS for kind in KINDS)
METRICS = {"synthetic": "token-match", "wild": "exact-match", "wild-chat": "judge"}
CITIES = ("Paris", "Rome", "New York", "東京", "Санкт-Петербург", "القاهرة")
ATTACKS = (
    "<script>window.attacked = 1</script>",
    '"><img src=x onerror="window.attacked = 2">',
    "</script><script>window.attacked = 3</script><!--",
    "javascript:window.attacked=4",
    "{{ 7 * 7 }} ${7 * 7} <%= 7 * 7 %>",
    "\u202eesrever\u2066\u200b\ufeff",
    "nul \x00 bell \x07 escape \x1b[31m delete \x7f c1 \x9b line\u2028separator",
    "lone \udfff\ud800 surrogate",
    "Z" + "\u0300" * 300,
)


@dataclass
class Payload:
    """The data of a report: the summary, the index of the cases, and their details in order."""

    summary: dict[str, Any]
    index: dict[str, Any]
    cases: list[dict[str, Any]]

    def chunks(self) -> list[list[dict[str, Any]]]:
        """Return the cases as the page reads them."""
        size = self.summary["chunk_size"]
        return [self.cases[start : start + size] for start in range(0, len(self.cases), size)]

    def check(self) -> "Payload":
        """Raise ``ValidationError`` if the data is not what the models of the payload say."""
        Summary.model_validate(self.summary)
        CasesIndex.model_validate(self.index)
        for case in self.cases[:: max(1, len(self.cases) // 20)]:
            CaseDetail.model_validate(case)
        return self

    def html(self) -> str:
        """Return the whole page with the data in it. Escapes keep lone surrogates, which the page then has to bear."""
        blocks = [("cases-index", packed(json.dumps(self.index)))]
        blocks += [(f"cases-{number}", packed(json.dumps(chunk))) for number, chunk in enumerate(self.chunks())]
        title = self.summary["title"].encode(errors="replace").decode()
        return "".join(page(title=title, summary=in_script(json.dumps(self.summary)), blocks=blocks))

    def served(self) -> dict[str, str]:
        """Return what a server answers for each name below ``data/``."""
        return {
            "summary": json.dumps(self.summary),
            "cases-index": json.dumps(self.index),
            **{f"cases-{number}": json.dumps(chunk) for number, chunk in enumerate(self.chunks())},
        }


def small(finished: bool = True, facts: int = 12) -> Payload:
    """Return three runs of the same facts, one of them judged after 1 edit and after all."""
    return made([("ft-m", (1,)), ("rome", (1,)), ("memit", (1, facts))], facts, finished=finished).check()


def without_metric() -> Payload:
    """Return the small report with a probe of locality in its first case that no metric scores."""
    payload = small()
    probe = next(probe for probe in payload.cases[0]["probes"] if probe["kind"] == "locality")
    probe["scores"] = []
    return payload


@cache
def long(rows: int = 20_000) -> Payload:
    """Return four runs with ``rows`` case records in all, each with two probes."""
    runs = [(editor, (1,)) for editor in ("ft-m", "rome", "memit", "grace")]
    places = (("synthetic", "reliability"), ("wild", "reliability"))
    return made(runs, rows // 4, chunk_size=200, places=places).check()


def hostile() -> Payload:
    """Return a report each text of which tries to do harm; the first case has an answer of a million characters."""
    payload = made([("ft-m", (1,)), ("rome", (1,))], len(ATTACKS), attacks=ATTACKS)
    long_answer = "word <b>bold</b>\u202e \x00" * 45_000
    for probe in payload.cases[0]["probes"]:
        probe["after"] = [
            {"text": long_answer, "raw": long_answer + ATTACKS[0], "cut_at": len(long_answer), "stopped": "limit"}
        ]
    return payload


def made(
    runs: list[tuple[str, tuple[int, ...]]],
    facts: int,
    chunk_size: int = 10,
    finished: bool = True,
    attacks: tuple[str, ...] = (),
    places: tuple[tuple[str, str], ...] = PLACES,
) -> Payload:
    """Return a report of ``runs`` (editor and judging points), each of ``facts`` facts with one probe for each of ``places``
    (protocol and kind). The texts of ``attacks`` stand everywhere.
    """
    cases = [
        made_case(run, editor, fact, edits, attacks, places)
        for run, (editor, points) in enumerate(runs)
        for edits in points
        for fact in range(facts)
    ]
    for row, case in enumerate(cases):
        case["row"] = row
    summary = made_summary(runs, facts, len(cases), chunk_size, finished, attacks)
    return Payload(summary, made_index(cases, places), cases)


def attack(attacks: tuple[str, ...], number: int, text: str) -> str:
    """Return ``text``, followed by an attack if there are any."""
    return f"{text} {attacks[number % len(attacks)]}" if attacks else text


def holds(run: int, fact: int, protocol: str, kind: str) -> bool:
    """Say whether the made-up edit holds: nearly always under synthetic, seldom under wild."""
    rare = {"synthetic": 10, "wild": 3, "wild-chat": 4}[protocol]
    seed = fact * 7 + run * 3 + KINDS.index(kind)
    return seed % rare != 0 if protocol == "synthetic" else seed % rare == 0


def made_case(
    run: int, editor: str, fact: int, edits: int, attacks: tuple[str, ...], places: tuple[tuple[str, str], ...]
) -> dict[str, Any]:
    """Return a case record: each seventh is refused by the run's editor, each eleventh lacks its score under wild."""
    city = CITIES[fact % len(CITIES)]
    question = attack(attacks, fact, f"In which city does person {fact} live?")
    refused = fact % 7 == 6 and run == 1
    gold = attack(attacks, fact, city)
    probes = [made_probe(run, fact, protocol, kind, question, gold, refused) for protocol, kind in places]
    return {
        "row": 0,
        "run": run,
        "case": f"fact:{fact}" if not attacks else attack(attacks, fact, f"fact:{fact}"),
        "after_edits": edits,
        "request": {"prompt": question, "target": gold, "subject": f"person {fact}", "aliases": ["The city"]},
        "tags": {"source": attack(attacks, fact, f"set {fact % 3}"), "relation": f"P{fact % 30}"},
        "edit": {
            "status": "refused" if refused else "edited",
            "reason": attack(attacks, fact, "the subject is not in the prompt") if refused else None,
            "seconds": 0.25,
            "patch": None
            if refused
            else {"modules": [f"layers.{run}.mlp"], "norm": 1.5, "inner": {"editor": editor, "deep": [{"a": 1}]}},
            "fallback": None,
        },
        "probes": probes,
    }


def made_probe(
    run: int, fact: int, protocol: str, kind: str, question: str, gold: str, refused: bool
) -> dict[str, Any]:
    """Return a probe: the answer after the edit begins with the gold if the edit holds, and goes on after the cut."""
    held = holds(run, fact, protocol, kind)
    text = gold if held else f"the city of Berlin, person {fact}"
    rest = ".\nQ: And who wrote it?\nA: nobody knows"
    before = {"text": "in Oslo", "raw": None, "cut_at": None, "stopped": "stop-rule"}
    after = {"text": text, "raw": f" {text}{rest}", "cut_at": utf16(f" {text}"), "stopped": "limit"}
    unscored = fact % 11 == 10 and protocol == "wild"
    reply = [{"reply": f"The answer names {text}.\nGRADE: {'A' if held else 'B'}", "model": "made-up"}]
    return {
        "protocol": protocol,
        "kind": kind,
        "nearness": "near-subject" if kind == "locality" else None,
        "question": question,
        "prompt": question if protocol == "synthetic" else f"Please answer the question:\n\nQ: {question}\nA:",
        "prompt_after": f"New fact: {gold}.\n{question}" if run == 1 and protocol == "wild" else None,
        "golds": [gold, f"{gold} city"],
        "unanswered": "the edit was refused" if refused else None,
        "before": [before],
        "after": [] if refused else [before if kind == "locality" and held else after],
        "continued": None,
        "scores": [
            {
                "metric": METRICS[protocol],
                "before": None if kind == "locality" else 0.0,
                "after": None if refused or unscored else float(held),
                "before_reason": "compares with the unedited model" if kind == "locality" else None,
                "after_reason": "refused" if refused else "no reply" if unscored else None,
                "details": {"before": reply, "after": reply} if protocol == "wild-chat" else {},
            }
        ],
    }


def utf16(text: str) -> int:
    """Return the length as the page counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def sign(case: dict[str, Any], protocol: str, kind: str, side: str = "after") -> str:
    """Return the character that stands for a case's outcome in the index."""
    probe = next(probe for probe in case["probes"] if (probe["protocol"], probe["kind"]) == (protocol, kind))
    if case["edit"]["status"] == "refused" and side == "after":
        return "r"
    value = probe["scores"][0][side]
    return "u" if value is None else "h" if value == 1 else "f"


def made_index(cases: list[dict[str, Any]], places: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Return the index of ``cases``."""
    words = {"h": "held", "f": "failed", "r": "refused", "u": "unscored"}

    def signs(side: str) -> dict[str, str]:
        return {
            f"{protocol}|{kind}": "".join(sign(case, protocol, kind, side) for case in cases)
            for protocol, kind in places
        }

    def answers(case: dict[str, Any]) -> str:
        return " ".join(answer["text"][:50] for probe in case["probes"] for answer in probe["after"])

    after = signs("after")
    score = {key: [{"h": 1.0, "f": 0.0}.get(one) for one in column] for key, column in after.items()}
    return {
        "rows": len(cases),
        "run": [case["run"] for case in cases],
        "case": [case["case"] for case in cases],
        "after_edits": [case["after_edits"] for case in cases],
        "subject": [case["request"]["subject"] for case in cases],
        "question": [case["request"]["prompt"] for case in cases],
        "target": [case["request"]["target"] for case in cases],
        "tags": [[f"{name}={value}" for name, value in case["tags"].items()] for case in cases],
        "status": [words[one] for one in after["wild|reliability"]],
        "by": after,
        "right_before": signs("before"),
        "search": [
            f"{case['request']['prompt']} {case['request']['target']} {answers(case)}".lower()[:400] for case in cases
        ],
        "score": score,
        "tokens": [len(case["request"]["target"]) for case in cases],
    }


def made_summary(
    runs: list[tuple[str, tuple[int, ...]]],
    facts: int,
    rows: int,
    chunk_size: int,
    finished: bool,
    attacks: tuple[str, ...],
) -> dict[str, Any]:
    """Return the summary of a report with one section of each shape."""
    names = [
        f"{attack(attacks, number, editor)} {number}" if attacks else editor for number, (editor, _) in enumerate(runs)
    ]
    table = {"columns": ["Editor", "synthetic", "wild"], "rows": [[name, 0.9, 1 / 3] for name in names]}
    kinds = {"title": "Scores by kind", "align": ["left", "right", "right"], **table}
    many = {
        "title": "By relation",
        "columns": ["relation", "cases"],
        "align": ["left", "right"],
        "rows": [[f"P{i}", i * 1000] for i in range(40)],
    }
    return {
        "title": attack(attacks, 0, "Made-up runs"),
        "created": "2026-11-30T07:31:00+00:00",
        "wildcore": "0.1.0",
        "notes": [attack(attacks, 1, "The section on agreement is left out: no judge was asked.")],
        "headline": [
            attack(
                attacks,
                2,
                f"{name}: Reliability: 0.900 synthetic, 0.333 wild, 56.7 points more (95 % interval +51.0 to +62.3).",
            )
            for name in names
        ],
        "runs": [
            made_run(number, editor, names[number - 1], facts, finished, attacks)
            for number, (editor, _) in enumerate(runs, 1)
        ],
        "protocols": [
            {
                "name": name,
                "context": "question-only" if name == "synthetic" else "qa-instruction",
                "generator": "teacher-forcing" if name == "synthetic" else "autoregressive",
                "truncator": "gold-length" if name == "synthetic" else "stop-strings",
                "metrics": {kind: [METRICS[name]] for kind in KINDS},
                "variant_of": "wild" if name == "wild-chat" else None,
                "differences": ["context: chat"] if name == "wild-chat" else [],
            }
            for name in PROTOCOLS
        ],
        "figures": [made_figure("gap", "gap", table, attacks), made_figure("kinds", "kinds", table, attacks)],
        "sections": [
            {"id": "gap", "title": "The gap", "text": [], "figures": ["gap"], "tables": []},
            {
                "id": "kinds",
                "title": attack(attacks, 3, "By kind of probe"),
                "text": ["Each kind on its own."],
                "figures": ["kinds"],
                "tables": [kinds],
            },
            {"id": "slices", "title": "Slices", "text": [], "figures": [], "tables": [many]},
        ],
        "case_count": rows,
        "chunk_size": chunk_size,
        "chunks": -(-rows // chunk_size),
        "metrics": sorted(METRICS.values()),
        "kinds": list(KINDS),
    }


def made_run(
    number: int, editor: str, name: str, facts: int, finished: bool, attacks: tuple[str, ...]
) -> dict[str, Any]:
    """Return what the summary says of a run; the last has signs of a collapse."""
    return {
        "id": str(number),
        "path": f"runs/{number}",
        "name": name,
        "editor": editor,
        "model": "llama-tiny",
        "dtype": "float32",
        "dataset": "made-up",
        "schedule": "single",
        "cases": facts,
        "finished": finished,
        "done": facts if finished else facts // 2,
        "how": attack(attacks, number, f"{editor} on llama-tiny, {facts} facts, one at a time"),
        "manifest": {
            "identity": {"editor": {"name": attack(attacks, number, editor), "params": {"layers": [4, 5]}}},
            "empty": {},
        },
        "headline": None,
        "notes": ["One case was set aside."],
        "collapse": [attack(attacks, number, "perplexity grew tenfold")] if number == 3 else [],
        "command": f"wildcore eval --editor {editor}",
    }


def made_figure(name: str, section: str, table: dict[str, Any], attacks: tuple[str, ...]) -> dict[str, Any]:
    """Return a figure whose light and dark pictures differ in their colour."""

    def picture(ground: str) -> str:
        drawing = f'<rect width="640" height="240" fill="{ground}"/><circle cx="99" cy="99" r="50" fill="#0a5a9c"/>'
        attributes = 'xmlns="http://www.w3.org/2000/svg" width="640" height="240"'
        svg = f"<svg {attributes}><script>parent.attacked = 5</script>{drawing}</svg>"
        return f"data:image/svg+xml,{quote(svg)}"

    return {
        "id": name,
        "section": section,
        "title": attack(attacks, 0, f"Figure of {section}"),
        "caption": attack(attacks, 1, "Each line is an editor; whiskers are 95 % intervals."),
        "alt": attack(attacks, 2, "The scores under wild are lower."),
        "svg": {"light": picture("#eeeeee"), "dark": picture("#111111")},
        "width": 640,
        "height": 240,
        "table": table,
    }
