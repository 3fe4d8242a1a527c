#!/usr/bin/env python3
"""Turns what the programs said (their JSON lines, a file each) into Markdown for the summary of a run.

A file that is not there, or empty, is a stage that did not get so far: it is said, and nothing else fails for it.
"""

import argparse
import json
import pathlib
import re
import sys


class Markup(str):
    """Text that is Markdown already."""


METRICS = {"r2": "R²", "mae": "MAE", "rmse": "RMSE", "mape": "MAPE", "median_ae": "median error"}
ANSWERS = {"passed": "passed", "not_applicable": "not applicable", "allowed": Markup("**failed, allowed**"), "refused": Markup("**failed**")}
BALANCE = ["in", "quarantined", "duplicates", "without_target", "trimmed", "out", "train", "test"]


def one_line(text):
    """Text from elsewhere without line breaks and other control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in str(text))


def plain(text):
    """Text from elsewhere, which must not become markup: no link, image, heading, table cell or HTML."""
    if isinstance(text, Markup):
        return text
    escaped = re.sub(r"([\\`*_\[\]|!#~])", r"\\\1", one_line(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(text):
    """Text from elsewhere as code, in which only a backtick would be markup."""
    return f"`{one_line(text).replace('`', chr(39))}`"


def link(text, address):
    """Text that leads to a page, if its address is one of the web."""
    if not re.fullmatch(r"https?://[^\s()<>\\]+", str(address)):
        return plain(text)
    return f"[{plain(text)}]({address})"


def table(headings, rows):
    yield "| " + " | ".join(headings) + " |"
    yield "|" + "---|" * len(headings)
    for row in rows:
        yield "| " + " | ".join(plain(cell) for cell in row) + " |"
    yield ""


def figure(name, value):
    if name == "r2":
        return f"{value:.4f}"
    if name == "mape":
        return f"{value * 100:.2f} %"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4f}"


def of_process(told):
    rows = told["rows"]
    yield from table(["rows", "count"], [[name.replace("_", " "), f"{rows[name]:,}"] for name in BALANCE if name in rows])
    for warning in told.get("suspected_leakage", []):
        text = warning if isinstance(warning, str) else json.dumps(warning)
        yield f"> suspected leakage: {plain(text)}\n"


def of_engineer(told):
    rows = told["rows"]
    yield f"{rows['features']} features of {rows['out']:,} rows, fitted on the {rows['train']:,} training rows.\n"


def of_train(told):
    metrics, intervals, run = told["metrics"], told["intervals"], told.get("run") or {}

    def row(name):
        between = intervals.get(name)
        return [
            METRICS[name],
            figure(name, metrics[name]),
            f"{figure(name, between['low'])} to {figure(name, between['high'])}" if between else "–",
            figure(name, metrics["cv_" + name]) if "cv_" + name in metrics else "–",
            figure(name, metrics["baseline_" + name]),
        ]

    headings = ["figure", "test rows", "95 % interval", "cross-validated", "always the mean"]
    yield from table(headings, [row(name) for name in METRICS if name in metrics])
    if run:
        where = link(run["run_name"], run.get("page"))
        version = f", registered as version {plain(run['version'])}" if run.get("version") else ""
        yield f"Run {where}{version}.\n"
        if not run.get("page"):
            yield "The runs are in the artifact `output-mlflow`: `scripts/mlflow_ui.sh --store output-mlflow.zip` opens them.\n"
    for warning in told.get("warnings", []):
        yield f"> {plain(warning)}\n"


def of_package(told):
    yield f"**{plain(told['status'])}**" + (f": {code(told['bundle'])}" if told.get("bundle") else "") + "\n"
    rows = [
        [gate["gate"], ANSWERS.get(gate["answer"], gate["answer"]), gate["figure"] + (f" ({gate['reason']})" if gate.get("reason") else "")]
        for gate in told["gates"]
    ]
    yield from table(["gate", "answer", "figure"], rows)
    compared = told.get("comparison")
    if compared:
        yield f"Champion against challenger: {plain(compared['text'])}.\n"
    replay = told.get("replay")
    if replay:
        memory = f", {replay['memory_bytes'] / 1e6:.0f} MB at most" if replay.get("memory_bytes") else ""
        yield (
            f"{replay['rows']:,} test rows served with the evaluated predictions; a row in {replay['p50_ms']:.2f} ms (99 %: {replay['p99_ms']:.2f} ms), "
            f"ready after {replay['startup_ms']:.0f} ms{memory}.\n"
        )


def of_image(told):
    sizes = " and ".join(f"{size / 1e6:.1f} MB" for size in told["layers"])
    yield f"Image {code(told['digest'])} for {plain(', '.join(told['platforms']))}, layers of {sizes}.\n"


def of_push(told):
    yield f"Published: {code(told['pushed'])}\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=pathlib.Path, help="STAGE.json, what the stage wrote with --output-format json")
    tellers = {name.removeprefix("of_"): teller for name, teller in globals().items() if name.startswith("of_")}
    for path in parser.parse_args().files:
        if path.stem not in tellers:
            parser.error(f"{path}: is none of {', '.join(sorted(tellers))}")
        print(f"## {path.stem}\n")
        try:
            lines = list(tellers[path.stem](json.loads(path.read_text(encoding="utf-8"))))
        except FileNotFoundError:
            lines = ["It did not get so far; its log says why.\n"]
        except (ValueError, KeyError, TypeError) as error:
            lines = ["It said nothing that can be told; its log says why.\n"]
            print(f"{path}: {error!r}", file=sys.stderr)
        print("\n".join(lines))


if __name__ == "__main__":
    main()
