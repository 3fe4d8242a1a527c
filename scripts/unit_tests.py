#!/usr/bin/env python3
"""Prints the test programs of one crate, from the JSON lines that `cargo test --no-run --message-format json` writes.

usage: cargo test ... | scripts/unit_tests.py CRATE
"""

import json
import sys
from pathlib import PurePath


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    for line in sys.stdin:
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("reason") == "compiler-artifact" and message["profile"]["test"] and message["executable"]:
            if PurePath(message["manifest_path"]).parent.name == arguments[0]:
                print(message["executable"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
