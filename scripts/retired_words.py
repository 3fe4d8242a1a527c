#!/usr/bin/env python3
"""Finds words of scripts/retired_words.txt that came back, and prints file:line, the words, and what to write instead.

usage: scripts/retired_words.py PATH...    files, or folders with all their files that git knows

Two kinds are looked for. `text` is a phrase in documents, scripts and workflows, and in comments and texts of Rust sources. It may be broken
by the end of a line. `name` is the whole name of a Rust function, type, module or constant, or of a file, in any of their spellings.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "scripts/retired_words.txt"
# kept byte for byte, data, or the list itself
SKIPPED = re.compile(r"(^|/)(data|golden)/|\.lock$|^LICENSE|(^|/)scripts/retired_words\.txt$|\.(png|svg|parquet|csv|bin|ico)$")
RUST_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
    |(?P<text>b?r(?P<hashes>\#*)".*?"(?P=hashes)|[bc]?"(?:\\.|[^"\\])*")
    |'(?:\\[^']+|[^'\\\n])'
    |\w+|\s+|.""",
    re.S | re.X,
)
RUST_NAME = re.compile(
    r"\b(?:fn|struct|enum|trait|union|type|mod|static|const(?!\s+(?:fn|async|extern|unsafe)\b)|macro_rules!)\s+(?:mut\s+)?([A-Za-z]\w*)"
)


class Retired(NamedTuple):
    """A line of the list."""

    kind: str
    words: str
    instead: str
    pattern: re.Pattern
    fixed: list[str]


def text_pattern(words: str) -> re.Pattern:
    """Whole words, in any case, with any white space between them; `*` stands for the end of a word."""
    parts = [re.escape(word).replace(r"\*", r"\w*") for word in words.split()]
    return re.compile(r"(?<![\w-])" + r"\s+".join(parts) + r"(?![\w-])", re.I)


def name_pattern(words: str) -> re.Pattern:
    """A whole name in snake_case; `*` stands for any part of it."""
    return re.compile(re.escape(words).replace(r"\*", r"\w*"))


def read_list(path: Path) -> list[Retired]:
    """The entries of the list; a line that is none ends the program."""
    entries = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = [part.strip() for part in line.split("|")]
        if len(parts) != 3 or parts[0] not in ("text", "name") or not parts[1] or not parts[2]:
            print(f"error: {path.name}:{number}: expected `text | WORDS | INSTEAD` or `name | NAME | INSTEAD`: {line}", file=sys.stderr)
            raise SystemExit(2)
        kind, words, instead = parts
        pattern = text_pattern(words) if kind == "text" else name_pattern(words)
        entries.append(Retired(kind, words, instead, pattern, words.lower().replace("*", " ").split()))
    return entries


def blank(text: str, filler: str) -> str:
    """The same lines with every other character replaced."""
    return re.sub(r"[^\n]", filler, text)


def rust_views(source: str) -> tuple[str, str]:
    """Two copies of the source, as long as it is: one with its comments and texts alone, one with its code alone."""
    prose, code = [], []
    for token in RUST_TOKEN.finditer(source):
        piece = token.group()
        if token["comment"] is not None:
            leader = re.match(r"/[/*]+!?", piece).group()
            prose.append(blank(leader, " ") + piece[len(leader) :])
            code.append(blank(piece, " "))
        elif token["text"] is not None:
            # a backslash at the end of a line joins the lines; the quotes end a phrase
            prose.append("\0" + piece[1:-1].replace("\\\n", " \n") + "\0")
            code.append(blank(piece, " "))
        else:
            prose.append(piece if piece.isspace() else blank(piece, "\0"))
            code.append(piece)
    return "".join(prose), "".join(code)


def plain_view(text: str) -> str:
    """A document or script without the signs that begin its lines."""
    return re.sub(r"^[ \t]*(?:#+!?|//+|>|\*|<!--)", lambda sign: blank(sign.group(), " "), text, flags=re.M)


def snake_case(name: str) -> str:
    """`MaxRows` and `MAX_ROWS` as `max_rows`."""
    return name.lower() if name.isupper() else re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def findings(path: Path, shown: str, entries: list[Retired]) -> list[tuple[int, str]]:
    """Line and message of every retired word of a file, in the order of lines."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return []
    prose, code = rust_views(text) if path.suffix == ".rs" else (plain_view(text), "")
    names = [(code.count("\n", 0, name.start(1)) + 1, name.group(1)) for name in RUST_NAME.finditer(code)]
    names.append((1, path.name.partition(".")[0]))
    # most phrases have a word that is nowhere in the file: that is quicker to see than a match of the whole
    lowered = prose.lower()
    lines = []
    for entry in entries:
        if entry.kind == "text" and all(part in lowered for part in entry.fixed):
            for hit in entry.pattern.finditer(prose):
                line = prose.count("\n", 0, hit.start()) + 1
                lines.append((line, f'{shown}:{line}: "{" ".join(hit.group().split())}": write {entry.instead}'))
        elif entry.kind == "name":
            for line, name in names:
                if entry.pattern.fullmatch(snake_case(name)):
                    lines.append((line, f"{shown}:{line}: the name `{name}`: write {entry.instead}"))
    return sorted(lines)


def files_of(path: Path) -> list[Path]:
    """A file itself; of a folder the files that git has or would add."""
    if path.is_file():
        return [path]
    command = ["git", "-C", str(path), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return sorted(file for name in listed.split("\0") if name and (file := path / name).is_file())


def main(arguments: list[str]) -> int:
    if not arguments or any(not Path(argument).exists() for argument in arguments):
        print("usage: scripts/retired_words.py PATH...    (files or folders)", file=sys.stderr)
        return 2
    entries = read_list(LIST)
    count = 0
    for argument in arguments:
        for file in files_of(Path(argument)):
            inside = file.resolve()
            shown = (inside.relative_to(ROOT) if inside.is_relative_to(ROOT) else file).as_posix()
            if SKIPPED.search(shown):
                continue
            for _, message in findings(file, shown, entries):
                print(message)
                count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
