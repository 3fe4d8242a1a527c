#!/usr/bin/env python3
"""Lists the decisions of docs/decisions in docs/SUMMARY.md, and checks that every document in docs is a chapter of the book.

usage: scripts/book_summary.py                      write the list of decisions, then check
       scripts/book_summary.py --check [SUMMARY]    only check: docs/SUMMARY.md, or a copy of it
"""

import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
HEADING = "# Decisions"
CHAPTER = re.compile(r"\]\(([^)\s]+\.md)\)")


def title(document: Path) -> str:
    """The text of the first heading."""
    for line in document.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            return line[2:].strip()
    raise SystemExit(f"error: docs/{document.relative_to(DOCS)} has no heading: begin it with `# TITLE`")


def decisions() -> str:
    """The part of the summary with the index of decisions and one line for each, in the order of their numbers; empty while there is no index."""
    index = DOCS / "decisions/README.md"
    if not index.is_file():
        return ""
    documents = [index] + sorted(path for path in index.parent.glob("*.md") if path != index)
    return "".join([f"\n{HEADING}\n\n"] + [f"- [{title(path)}](decisions/{path.name})\n" for path in documents])


def with_decisions(text: str) -> str:
    """The summary with the current list of decisions at its end."""
    return text.partition(f"\n{HEADING}\n")[0] + decisions()


def check_summary(text: str) -> list[str]:
    """One message for each problem of a summary."""
    listed: dict[str, int] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        for target in CHAPTER.findall(line):
            if target in listed:
                problems.append(f"docs/SUMMARY.md:{number}: {target} is listed twice, first in line {listed[target]}: remove one line")
            listed.setdefault(target, number)
            if not (DOCS / target).is_file():
                problems.append(f"docs/SUMMARY.md:{number}: docs/{target} does not exist: remove the line, or correct the name")
    for path in sorted(DOCS.rglob("*.md")):
        name = path.relative_to(DOCS).as_posix()
        if name != "SUMMARY.md" and name not in listed:
            what = "run scripts/book_summary.py" if name.startswith("decisions/") else "add a line for it"
            problems.append(f"docs/SUMMARY.md: docs/{name} is not a chapter: {what}")
    if not problems and with_decisions(text) != text:
        problems.append("docs/SUMMARY.md: the list of decisions is out of date: run scripts/book_summary.py")
    return problems


def main(arguments: list[str]) -> int:
    summary = DOCS / "SUMMARY.md"
    if arguments[:1] == ["--check"] and len(arguments) <= 2:
        summary = Path(arguments[1]) if len(arguments) == 2 else summary
        text = summary.read_text(encoding="utf-8")
    elif not arguments:
        text = with_decisions(summary.read_text(encoding="utf-8"))
        summary.write_text(text, encoding="utf-8")
    else:
        print(__doc__, file=sys.stderr)
        return 2
    problems = check_summary(text)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
