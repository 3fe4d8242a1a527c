#!/usr/bin/env python3
"""Runs a workflow of this repository on this machine: its own `run:` steps, in the order of its jobs, each job in a clean clone.

Conditions and texts are evaluated by GitHub's own packages. What GitHub does beside is stood in for: actions that check out, cache and keep
artifacts; `gh api`, as far as it lists and gives artifacts and runs; a store of runs in a folder, so that a run finds what earlier runs
left. Logging in and attesting are left out.

  scripts/run_workflow.py --store /tmp/store                                     every default toggle
  scripts/run_workflow.py --store /tmp/store --input run_all=true --ref refs/heads/main
  scripts/run_workflow.py --store /tmp/store --retry                             the failed jobs of the last run again
  scripts/run_workflow.py --truth-table                                          which jobs run, for all toggles, events and failures
"""

import argparse
import contextlib
import datetime
import hashlib
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "house-price-predictor" / "tools"
EVENTS = ["workflow_dispatch", "release", "schedule", "repository_dispatch"]
REPOSITORY = {"name": "local/house-price-predictor", "id": 1001}


class Workflow:
    """A workflow in GitHub's own reading, and answers to what its expressions are."""

    def __init__(self, path):
        subprocess.run([ROOT / "scripts/delivery_tools.sh", "node"], check=True, stdout=subprocess.DEVNULL)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="workflow-"))
        bundled = self.folder / "evaluate.mjs"
        modules = TOOLS / "node/node_modules"
        # a module that waits at its top can only be bundled as one
        build = [modules / ".bin/esbuild", ROOT / "scripts/workflow/evaluate.mjs", "--bundle", "--platform=node", "--format=esm",
                 "--log-level=error", f"--outfile={bundled}",
                 "--banner:js=import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"]
        subprocess.run(build, check=True, env={**os.environ, "NODE_PATH": str(modules)})
        self.node = subprocess.Popen(["node", bundled, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        read = json.loads(self.node.stdout.readline())
        if read["errors"]:
            self.close()
            sys.exit("\n".join(read["errors"]))
        self.jobs, self.env, self.inputs = read["jobs"], read["env"], read["inputs"]

    def ask(self, question):
        self.node.stdin.write(json.dumps(question) + "\n")
        self.node.stdin.flush()
        answer = json.loads(self.node.stdout.readline())
        if "error" in answer:
            sys.exit(f"error: {question.get('condition', question.get('fill'))}: {answer['error']}")
        return answer["value"]

    def holds(self, condition, contexts, ran):
        return self.ask({"condition": condition, "contexts": contexts, "ran": ran})

    def fill(self, value, contexts, ran=()):
        return self.ask({"fill": value, "contexts": contexts, "ran": list(ran)})

    def defaults(self):
        """The inputs of a run by hand whose form is sent as it opens."""
        return {name: spec.get("default", "") for name, spec in self.inputs.items()}

    def ancestors(self, job):
        by_id = {one["id"]: one for one in self.jobs}
        found = []
        for need in job["needs"]:
            found += [need, *self.ancestors(by_id[need])]
        return list(dict.fromkeys(found))

    def ordered(self):
        """Jobs in an order in which each comes after those that it needs."""
        done, waiting = [], list(self.jobs)
        while waiting:
            ready = next(job for job in waiting if all(need in [one["id"] for one in done] for need in job["needs"]))
            waiting.remove(ready)
            done.append(ready)
        return done

    def close(self):
        self.node.stdin.close()
        self.node.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def is_to_run(workflow, job, results, contexts):
    """Whether a job runs, after those before it had these results."""
    needs = {need: {"result": results[need], "outputs": contexts.get("outputs", {}).get(need, {})} for need in job["needs"]}
    ran = [results[one] for one in workflow.ancestors(job)]
    return workflow.holds(job["if"], {**contexts, "needs": needs}, ran)


def play(workflow, event, ref, inputs, failing):
    """The result of every job, if the one called `failing` fails and all others that run succeed."""
    contexts = {"github": {"event_name": event, "ref": ref}, "inputs": inputs}
    results = {}
    for job in workflow.ordered():
        runs = is_to_run(workflow, job, results, contexts)
        results[job["id"]] = ("failure" if job["id"] == failing else "success") if runs else "skipped"
    return results


def truth_table(workflow, toggles):
    """For every event, ref, set of toggles and failing job: which jobs run (+), fail (x) or are skipped (-), in the order of the head.

    Toggles belong to runs by hand. The other events are played with each set of them all the same: they must not matter.
    """
    jobs = [job["id"] for job in workflow.ordered()]
    signs = {"success": "+", "failure": "x", "skipped": "-"}
    yield "jobs: " + " ".join(jobs)
    yield "toggles: " + " ".join(toggles)
    for event, ref in itertools.product(EVENTS, ["refs/heads/main", "refs/heads/topic"]):
        if event in ("schedule", "repository_dispatch") and ref != "refs/heads/main":
            continue  # GitHub starts these on the default branch alone
        for failing in [None, *jobs]:
            rows = {}
            for values in itertools.product([False, True], repeat=len(toggles)):
                results = play(workflow, event, ref, dict(zip(toggles, values)), failing)
                line = "".join(signs[results[job]] for job in jobs)
                if failing is None or results[failing] == "failure":
                    rows.setdefault(line, []).append("".join("1" if value else "0" for value in values))
            for line, sets in rows.items():
                which = "any" if len(sets) == 2 ** len(toggles) else " ".join(sets)
                yield f"{event} {ref.rsplit('/', 1)[1]} {'' if failing is None else failing + ' fails '}{line} {which}"


class Store:
    """A folder of runs, in the form that scripts/workflow/bin/gh answers from, and what a retry goes on with: N/state.json."""

    def __init__(self, folder):
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)

    def last(self):
        """The number of the last run, or 0."""
        return max((int(path.name) for path in self.folder.glob("[0-9]*")), default=0)

    def read(self, number, name):
        return json.loads((self.folder / str(number) / name).read_text())

    def write(self, number, name, content):
        target = self.folder / str(number) / name
        target.parent.mkdir(exist_ok=True)
        written = target.with_suffix(".new")
        written.write_text(json.dumps(content, indent=1))
        written.replace(target)

    def add_commit(self, branch, commit):
        """Says that a branch has a commit, which is its newest now."""
        path = self.folder / "branches.json"
        branches = json.loads(path.read_text()) if path.exists() else {}
        commits = branches.setdefault(branch, [])
        if commit in commits:
            commits.remove(commit)
        commits.append(commit)
        path.write_text(json.dumps(branches, indent=1))


def begin_run(options, inputs, number, store):
    """A new run, as GitHub's API describes it, and the state that a retry of it goes on with."""
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    kind, name = options.ref.removeprefix("refs/").split("/", 1)
    if kind == "heads":
        store.add_commit(name, commit)
    run = {
        "id": number, "path": f".github/workflows/{options.workflow.name}", "event": options.event, "head_branch": name, "head_sha": commit,
        "status": "in_progress", "conclusion": None, "run_attempt": 1,
        "repository": {"id": REPOSITORY["id"]}, "head_repository": {"id": REPOSITORY["id"]},
    }
    state = {"ref": options.ref, "inputs": inputs, "results": {}, "outputs": {}}
    return {"run": run, "jobs": [], "artifacts": []}, state


def jobs_to_retry(workflow, results):
    """Jobs that failed, or did not end because the run was broken off, and all that need them."""
    failed = {job["id"] for job in workflow.jobs if results.get(job["id"], "failure") == "failure"}
    return {job["id"] for job in workflow.jobs if failed.intersection([job["id"], *workflow.ancestors(job)])}


class Runner:
    """Runs the jobs of a new run, or of another attempt of the last one."""

    def __init__(self, workflow, options):
        self.workflow, self.options, self.store = workflow, options, Store(options.store)
        self.number = self.store.last()
        if options.retry:
            if not self.number:
                sys.exit(f"error: --retry: {options.store} has no run")
            self.record, self.state = self.store.read(self.number, "run.json"), self.store.read(self.number, "state.json")
            self.again = jobs_to_retry(workflow, self.state["results"])
            if not self.again:
                sys.exit(f"error: --retry: no job of run {self.number} failed")
            self.record["run"].update(status="in_progress", conclusion=None, run_attempt=self.record["run"]["run_attempt"] + 1)
        else:
            self.number += 1
            self.record, self.state = begin_run(options, self.read_inputs(), self.number, self.store)
            self.again = {job["id"] for job in workflow.jobs}
        self.results, self.outputs = self.state["results"], self.state["outputs"]
        self.save()

    def read_inputs(self):
        if self.options.event != "workflow_dispatch":
            return {}
        inputs = self.workflow.defaults()
        for name, value in self.options.input:
            if name not in inputs:
                sys.exit(f"error: --input {name}: the workflow has no such input; it has {', '.join(inputs)}")
            inputs[name] = value == "true" if isinstance(inputs[name], bool) else value
        return inputs

    def save(self):
        self.store.write(self.number, "run.json", self.record)
        self.store.write(self.number, "state.json", self.state)

    def run(self):
        run, ref = self.record["run"], self.state["ref"]
        github = {
            "event_name": run["event"], "ref": ref, "ref_name": run["head_branch"], "sha": run["head_sha"], "repository": REPOSITORY["name"],
            "run_id": str(run["id"]), "run_attempt": str(run["run_attempt"]), "server_url": "http://127.0.0.1", "actor": "local", "token": "",
            "workflow_ref": f"{REPOSITORY['name']}/{run['path']}@{ref}", "event": {"release": {"tag_name": "v0.0.0"}},
        }
        self.contexts = {
            "github": github, "inputs": self.state["inputs"], "vars": dict(self.options.var), "secrets": dict(self.options.secret),
        }
        for job in self.workflow.ordered():
            if job["id"] not in self.again:
                print(f"== {job['id']}: {self.results[job['id']]} in an earlier attempt", flush=True)
                continue
            began, entry = time.monotonic(), self.begin_job(job)
            if job["id"] in self.options.have:
                # someone has done its work before: its artifacts are taken from there
                self.outputs[job["id"]] = self.keep_files(self.options.have[job["id"]])
                result = "success"
            elif is_to_run(self.workflow, job, self.results, {**self.contexts, "outputs": self.outputs}):
                result = self.run_job(job)
            else:
                result = "skipped"
            self.results[job["id"]] = result
            entry.update(status="completed", conclusion=result, completed_at=now())
            self.save()
            print(f"== {job['id']}: {result} ({time.monotonic() - began:.1f} s)", flush=True)
        run.update(status="completed", conclusion="failure" if "failure" in self.results.values() else "success")
        self.save()
        return self.results

    def begin_job(self, job):
        """A job that begins, as GitHub's API describes it."""
        entry = {
            "id": self.number * 1000 + len(self.record["jobs"]), "run_id": self.number, "run_attempt": self.record["run"]["run_attempt"],
            "name": job.get("name", job["id"]), "status": "in_progress", "conclusion": None, "started_at": now(), "completed_at": None,
        }
        self.record["jobs"].append(entry)
        self.save()
        return entry

    def run_job(self, job):
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f"job-{job['id']}-"))
        try:
            return Job(self, job, folder).run()
        finally:
            if self.options.keep:
                print(f"   {job['id']} ran in {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)

    def keep(self, name, paths, overwrite=False):
        """Keeps files as an artifact, zipped, as GitHub does; says whether it could. The artifact of an earlier attempt stays beside it."""
        artifacts = self.record["artifacts"]
        if not overwrite and any(artifact["name"] == name for artifact in artifacts):
            print(f"error: (409) Conflict: an artifact called {name} already exists in this run")
            return False
        number = self.number * 1000 + len(artifacts)
        target = self.store.folder / str(self.number) / f"{number}.zip"
        with zipfile.ZipFile(target, "w") as archive:
            for path in paths:
                archive.write(path, path.name)
        run = self.record["run"]
        artifacts.append({
            "id": number, "name": name, "expired": False, "created_at": now(), "digest": digest_of(target), "size_in_bytes": target.stat().st_size,
            "workflow_run": {
                "id": run["id"], "repository_id": run["repository"]["id"], "head_repository_id": run["head_repository"]["id"],
                "head_branch": run["head_branch"], "head_sha": run["head_sha"],
            },
        })
        self.save()
        return True

    def keep_files(self, paths):
        """Keeps files, an artifact each. Returns the digests that the job would have as outputs: `digest`, and NAME_digest of further ones."""
        outputs = {}
        for path in paths:
            name = path.name.removesuffix(".tar.gz")
            self.keep(name, [path])
            outputs[f"{name.removeprefix('output-')}_digest" if outputs else "digest"] = digest_of(path)
        return outputs


class Job:
    """One job in a folder of its own."""

    def __init__(self, runner, job, folder):
        self.runner, self.workflow, self.job, self.folder = runner, runner.workflow, job, folder
        self.checkout = folder / "checkout"
        self.checkout.mkdir()
        self.statuses, self.steps = [], {}

    def contexts(self, env):
        needs = {
            need: {"result": self.runner.results[need], "outputs": self.runner.outputs.get(need, {})} for need in self.job["needs"]
        }
        return {**self.runner.contexts, "needs": needs, "steps": self.steps, "env": env, "runner": {"os": "Linux"}}

    def run(self):
        env = {}
        for given in (self.workflow.env, self.job.get("env") or {}):
            env.update({key: as_text(value) for key, value in self.workflow.fill(given, self.contexts(env)).items()})
        for place, step in enumerate(self.job["steps"]):
            if not self.workflow.holds(step["if"], self.contexts(env), self.statuses):
                continue
            inner = dict(env)
            inner.update({key: as_text(value) for key, value in self.workflow.fill(step.get("env") or {}, self.contexts(env)).items()})
            filled = self.workflow.fill({"with": step.get("with") or {}, "run": step.get("run") or ""}, self.contexts(inner))
            name = step.get("name") or step.get("uses") or f"step {place + 1}"
            print(f"-- {self.job['id']}: {name}", flush=True)
            outputs = {}
            worked = self.use(step["uses"], filled["with"]) if "uses" in step else self.shell(filled["run"], inner, outputs)
            self.statuses.append("success" if worked else "failure")
            if "id" in step:
                self.steps[step["id"]] = {"outputs": outputs, "outcome": self.statuses[-1], "conclusion": self.statuses[-1]}
        outputs = self.workflow.fill(self.job.get("outputs") or {}, self.contexts(env))
        self.runner.outputs[self.job["id"]] = {key: as_text(value) for key, value in outputs.items()}
        return "failure" if "failure" in self.statuses else "success"

    def use(self, action, given):
        """What stands in for an action."""
        name = action.split("@")[0]
        if name == "actions/checkout":
            self.check_out()
        elif name == "actions/upload-artifact":
            found = [path for line in str(given["path"]).split("\n") if line.strip() for path in sorted(self.checkout.glob(line.strip()))]
            if not found:
                print(f"error: no files were found at {given['path']}")
                return given.get("if-no-files-found") != "error"
            return self.runner.keep(given["name"], found, given.get("overwrite") in (True, "true"))
        elif name == "actions/attest":
            print(f"   not done here: attesting {given.get('subject-name')}@{given.get('subject-digest')}")
        elif name not in ("Swatinem/rust-cache", "docker/login-action"):
            print(f"error: {name}: nothing stands in for this action")
            return False
        return True

    def check_out(self):
        """The files of the working tree that git knows, in a clean folder: what a commit of it would have."""
        listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], check=True, capture_output=True)
        for name in filter(None, listed.stdout.decode().split("\0")):
            source, target = ROOT / name, self.checkout / name
            if source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)

    def shell(self, script, env, outputs):
        text, wrote = self.folder / "step.sh", self.folder / "output"
        text.write_text(script)
        wrote.write_text("")
        github = self.runner.contexts["github"]
        variables = ["repository", "ref", "ref_name", "sha", "run_id", "run_attempt", "workflow_ref", "event_name"]
        store = self.runner.store.folder
        given = {
            **os.environ, **env, "CI": "true", **{f"GITHUB_{name.upper()}": github[name] for name in variables},
            "GITHUB_REPOSITORY_ID": str(REPOSITORY["id"]), "GITHUB_OUTPUT": str(wrote),
            "GITHUB_STEP_SUMMARY": str(store / str(self.runner.number) / "summary.md"),
            "RUN_WORKFLOW_STORE": str(store), "PATH": f"{ROOT / 'scripts/workflow/bin'}:{os.environ['PATH']}",
        }
        # as GitHub's `shell: bash` does
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(text)]
        done = subprocess.run(command, cwd=self.checkout, env=given, stdin=subprocess.DEVNULL, check=False)
        for line in wrote.read_text().splitlines():
            key, _, value = line.partition("=")
            outputs[key] = value
        if done.returncode:
            print(f"error: exit {done.returncode}", flush=True)
        return done.returncode == 0


def now():
    """The time in the form of GitHub's API, but finer than its seconds: jobs here may be shorter."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def digest_of(path):
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def as_text(value):
    """A value as a variable of the environment holds it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def pair(text):
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text}: write NAME=VALUE")
    return name, value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workflow", nargs="?", type=pathlib.Path, default=ROOT / ".github/workflows/pipeline.yml")
    parser.add_argument("--truth-table", action="store_true", help="print which jobs run, and run nothing")
    parser.add_argument("--check", action="store_true", help="only ask GitHub's parser whether it is a workflow")
    parser.add_argument("--store", type=pathlib.Path, help="the folder of runs and their artifacts, this one and earlier ones")
    parser.add_argument("--event", choices=EVENTS, default=EVENTS[0])
    parser.add_argument("--ref", default="refs/heads/main", help="refs/heads/BRANCH or refs/tags/TAG")
    parser.add_argument("--input", type=pair, action="append", default=[], metavar="NAME=VALUE", help="an input of a run by hand")
    parser.add_argument("--var", type=pair, action="append", default=[], metavar="NAME=VALUE", help="a variable of the repository")
    parser.add_argument("--secret", type=pair, action="append", default=[], metavar="NAME=VALUE", help="a secret")
    parser.add_argument("--have", type=pair, action="append", default=[], metavar="JOB=FILE", help="do not run JOB: FILE is the artifact that it would keep")
    parser.add_argument("--retry", action="store_true", help="run the failed jobs of the store's last run again, and those that need them")
    parser.add_argument("--keep", action="store_true", help="leave the folders of jobs")
    options = parser.parse_args()
    have = {}
    for job, path in options.have:
        have.setdefault(job, []).append(pathlib.Path(path).resolve())
    options.have = have

    workflow = Workflow(options.workflow)
    with contextlib.closing(workflow):
        if options.check:
            return 0
        if options.truth_table:
            toggles = [name for name, spec in workflow.inputs.items() if spec.get("type") == "boolean"]
            print("\n".join(truth_table(workflow, toggles)))
            return 0
        if options.store is None:
            parser.error("--store DIR is needed: artifacts go there")
        if options.retry and options.input:
            parser.error("--retry goes on with the inputs of the run: --input cannot change them")
        results = Runner(workflow, options).run()
    print(json.dumps(results))
    return 1 if "failure" in results.values() else 0


if __name__ == "__main__":
    sys.exit(main())
