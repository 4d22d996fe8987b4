"""What a browser finds in a report: its elements with data, decompressed and checked against the payload's models."""

import base64
import gzip
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from wildcore_report.payload import CaseDetail, CasesIndex, Summary

CASES = TypeAdapter(list[CaseDetail])


class Elements(HTMLParser):
    """Collects the content of script elements by id, and every tag."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.scripts: dict[str, str] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self._open = dict(attrs).get("id") or "program"
            self.scripts[self._open] = ""

    def handle_endtag(self, tag: str) -> None:
        self._open = None

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.scripts[self._open] += data


class Contents:
    """A report that was read."""

    def __init__(self, file: Path) -> None:
        self.text = file.read_text(encoding="utf-8")
        self.elements = Elements(self.text)
        self.summary = Summary.model_validate_json(self.elements.scripts["report-summary"])
        self.index = CasesIndex.model_validate(self.unpacked("cases-index"))
        chunks = (CASES.validate_python(self.unpacked(f"cases-{n}")) for n in range(self.summary.chunks))
        self.cases = [one for chunk in chunks for one in chunk]

    def unpacked(self, name: str) -> Any:
        """Return the data of an element."""
        return json.loads(gzip.decompress(base64.b64decode(self.elements.scripts[name])))

    def table(self, section: str, title: str) -> list[dict[str, Any]]:
        """Return the rows of the table of a section whose title begins so."""
        (found,) = [one for one in self.summary.sections if one.id == section]
        (table,) = [one for one in found.tables if one.title.startswith(title)]
        return [dict(zip(table.columns, row, strict=True)) for row in table.rows]

    def figure(self, name: str) -> list[dict[str, Any]]:
        """Return the numbers of a figure."""
        (found,) = [one for one in self.summary.figures if one.id == name]
        return [dict(zip(found.table.columns, row, strict=True)) for row in found.table.rows]
