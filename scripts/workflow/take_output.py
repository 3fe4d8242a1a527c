"""Chooses the artifact with a stage's output, downloads it, compares its digests and unpacks it. scripts/take_output.sh runs it.

An artifact is taken only if all of these hold. They are compared exactly, in the listing of the artifact and again in the run that it names:

- it is not expired, and its digest is listed
- its repository and the repository of its commit (its head) are this one: no fork's
- its run is of this very workflow file, and began by an event in TRUSTED_EVENTS
- its run is on this branch or on the default branch, ended with success, and its commit is on that branch now
- or its run is this one: then it is on this branch or tag, and the job that made it ended with success, in this attempt or an earlier one

Of those that pass, the newest is taken. What is refused is counted by reason on stderr, and the first few are shown; with GitHub's debug logging
($RUNNER_DEBUG) all of them are.
"""

import argparse
import collections
import dataclasses
import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.parse

import archives

# artifact and job of each output; a job is known to GitHub's API by its display name
OUTPUTS = {
    "programs": ("programs", "Build the programs once"),
    "programs-arm64": ("programs-arm64", "Build the server for arm64"),
    "process": ("output-process", "Process"),
    "engineer": ("output-engineer", "Engineer"),
    "train": ("output-train", "Train"),
    "mlflow": ("output-mlflow", "Train"),
    "package": ("output-package", "Package"),
}
# what .github/workflows/pipeline.yml starts on. A run that began otherwise (pull_request, push, workflow_run) had another file: somebody
# changed it on a branch. GitHub starts schedule and repository_dispatch with the default branch's file alone
TRUSTED_EVENTS = ("workflow_dispatch", "release", "schedule", "repository_dispatch")
PAGE_SIZE = 100  # GitHub's largest
MAX_PAGES = 1000
MAX_DOWNLOAD = 2 * 1024**3
SHOWN_REFUSALS = 3
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class TakeError(Exception):
    """Why nothing is taken."""


class NotFoundError(TakeError):
    """What GitHub was asked for is not there: a run may be deleted, a commit be gone."""


class Refusal(Exception):
    """Why one artifact is not taken: the reason, which is counted, and the values that were compared."""

    def __init__(self, reason, detail):
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclasses.dataclass(frozen=True)
class ThisRun:
    """The run that asks: what GitHub's variables say of it."""

    repository: str
    repository_id: int
    run_id: int
    workflow: str  # the file's path in the repository
    ref_name: str
    branches: tuple  # that outputs of other runs may be of


def read_environment():
    def variable(name):
        value = os.environ.get(name, "")
        if not value:
            raise TakeError(f"${name} is not set: GitHub sets it in a workflow's job")
        return value

    def number(name):
        if not re.fullmatch(r"[1-9][0-9]*", variable(name)):
            raise TakeError(f"${name} is {ascii(variable(name))}, and not a number")
        return int(variable(name))

    repository, ref_name = variable("GITHUB_REPOSITORY"), variable("GITHUB_REF_NAME")
    # OWNER/NAME/PATH@REF; a workflow's path has no @refs/ in it, a branch may
    path, _, ref = variable("GITHUB_WORKFLOW_REF").partition("@refs/")
    if not path.startswith(f"{repository}/.github/workflows/") or not ref:
        raise TakeError(f"$GITHUB_WORKFLOW_REF is {ascii(variable('GITHUB_WORKFLOW_REF'))}, and names no workflow of {repository}")
    branches = [os.environ.get("DEFAULT_BRANCH") or "main"]
    # a tag may be called as a branch is, and the API says neither which of the two it names
    if ref == f"heads/{ref_name}" and ref_name not in branches:
        branches.append(ref_name)
    workflow = path.removeprefix(f"{repository}/")
    return ThisRun(repository, number("GITHUB_REPOSITORY_ID"), number("GITHUB_RUN_ID"), workflow, ref_name, tuple(branches))


class GitHub:
    """What GitHub's REST API says of a repository, asked by `gh api`."""

    def __init__(self, repository):
        self.root = f"repos/{repository}"
        self.answers = {}

    def get(self, path):
        """The JSON at `path`, asked for once."""
        if path not in self.answers:
            done = subprocess.run(["gh", "api", f"{self.root}/{path}"], capture_output=True, text=True, check=False)
            if done.returncode:
                kind = NotFoundError if "HTTP 404" in done.stderr else TakeError
                raise kind(f"gh api {self.root}/{path}: exit {done.returncode}: {done.stderr.strip()}")
            try:
                self.answers[path] = json.loads(done.stdout)
            except ValueError as error:
                raise TakeError(f"gh api {self.root}/{path}: is no JSON: {error}") from error
        return self.answers[path]

    def list_all(self, path, key, **query):
        """The items of all pages of a list."""
        items = {}
        for page in range(1, MAX_PAGES + 1):
            answer = self.get(f"{path}?{urllib.parse.urlencode({**query, 'per_page': PAGE_SIZE, 'page': page})}")
            before = len(items)
            items.update((item["id"], item) for item in answer[key])
            # items that come or go while pages are read move the others: a short page is not the end, one with no new item is
            if len(items) >= answer["total_count"] or len(items) == before:
                return list(items.values())
        raise TakeError(f"gh api {self.root}/{path}: has more than {MAX_PAGES} pages")

    def artifacts(self, name):
        return self.list_all("actions/artifacts", "artifacts", name=name)

    def run(self, number):
        try:
            return self.get(f"actions/runs/{number}")
        except NotFoundError as error:
            raise Refusal("run", f"{json.dumps(number)}, expected one that GitHub has: {error}") from error

    def jobs(self, number):
        """Jobs of all attempts of a run."""
        return self.list_all(f"actions/runs/{number}/jobs", "jobs", filter="all")

    def is_on_branch(self, commit, branch):
        """Whether the branch has the commit. Compared by commits, because a tag may be called as the branch is."""
        tip = self.get(f"branches/{urllib.parse.quote(branch, safe='')}")["commit"]["sha"]
        try:
            return self.get(f"compare/{tip}...{commit}?per_page=1")["status"] in ("identical", "behind")
        except NotFoundError:
            return False

    def download(self, artifact, target):
        """Writes the zip of an artifact to `target`; returns its digest."""
        path = f"{self.root}/actions/artifacts/{artifact['id']}/zip"
        with open(target, "wb") as written, subprocess.Popen(["gh", "api", path], stdout=subprocess.PIPE) as asked:
            digest, count = hashlib.sha256(), 0
            while chunk := asked.stdout.read(1 << 20):
                count += len(chunk)
                if count > MAX_DOWNLOAD:
                    asked.kill()
                    raise TakeError(f"gh api {path}: has more than {MAX_DOWNLOAD:,} bytes")
                digest.update(chunk)
                written.write(chunk)
        if asked.returncode:
            raise TakeError(f"gh api {path}: exit {asked.returncode}")
        return f"sha256:{digest.hexdigest()}"


def require(holds, reason, found, expected):
    if not holds:
        raise Refusal(reason, f"{json.dumps(found)}, expected {expected}")


def check_artifact(artifact, this_run):
    """Compares what the listing says of an artifact."""
    source = artifact["workflow_run"] or {}
    repository, head, branch = source.get("repository_id"), source.get("head_repository_id"), source.get("head_branch")
    branches = (this_run.ref_name,) if source.get("id") == this_run.run_id else this_run.branches
    require(artifact["expired"] is False, "expired", artifact["expired"], "false")
    require(repository == this_run.repository_id, "repository id", repository, this_run.repository_id)
    require(head == this_run.repository_id, "head repository id", head, this_run.repository_id)
    require(branch in branches, "branch", branch, " or ".join(branches))
    require(DIGEST.fullmatch(artifact.get("digest") or ""), "digest", artifact.get("digest"), "sha256: and 64 digits")


def check_run(artifact, run, this_run):
    """Compares what GitHub says of the run that made an artifact."""
    source = artifact["workflow_run"]
    repository, head = run["repository"]["id"], (run["head_repository"] or {}).get("id")
    require(repository == this_run.repository_id, "repository id of the run", repository, this_run.repository_id)
    require(head == this_run.repository_id, "head repository id of the run", head, this_run.repository_id)
    branch = run["head_branch"]
    require(branch == source["head_branch"], "branch of the run", branch, source["head_branch"])
    # PATH or PATH@REF; a file may be called pipeline.yml@else.yml
    path, _, ref = run["path"].partition("@")
    same_file = path == this_run.workflow and ref in ("", branch, f"refs/heads/{branch}", f"refs/tags/{branch}")
    require(same_file, "workflow", run["path"], this_run.workflow)
    require(run["event"] in TRUSTED_EVENTS, "event", run["event"], " or ".join(TRUSTED_EVENTS))


def check_ended_well(run, github):
    """Compares how another run ended, and that its commit is on its branch."""
    require(run["status"] == "completed", "status of the run", run["status"], "completed")
    require(run["conclusion"] == "success", "conclusion of the run", run["conclusion"], "success")
    on_branch = github.is_on_branch(run["head_sha"], run["head_branch"])
    require(on_branch, "commit", run["head_sha"], f"a commit of the branch {run['head_branch']}")


def check_producer(artifact, job_name, github):
    """Compares how the job ended that made an artifact of this run: of all attempts of the job, the last one that began before the artifact."""
    created = moment(artifact["created_at"])
    jobs = [job for job in github.jobs(artifact["workflow_run"]["id"]) if job["name"] == job_name and job["started_at"]]
    before = [job for job in jobs if moment(job["started_at"]) <= created]
    require(before, "job", [job["started_at"] for job in jobs], f"an attempt of {job_name} that began before {artifact['created_at']}")
    producer = max(before, key=lambda job: (moment(job["started_at"]), job["run_attempt"]))
    ending = [producer["status"], producer["conclusion"]]
    require(ending == ["completed", "success"], "conclusion of the job", ending, f"{job_name} completed with success")


def moment(text):
    return datetime.datetime.fromisoformat(text)


def choose_artifact(candidates, job_name, this_run, github):
    """The newest artifact that passes, or None, and the refusals of those before it."""
    refusals = []
    for artifact in sorted(candidates, key=lambda one: (one["created_at"], one["id"]), reverse=True):
        try:
            check_artifact(artifact, this_run)
            run = github.run(artifact["workflow_run"]["id"])
            check_run(artifact, run, this_run)
            if run["id"] == this_run.run_id:
                check_producer(artifact, job_name, github)
            else:
                check_ended_well(run, github)
            return artifact, refusals
        except Refusal as refusal:
            refusals.append((artifact, refusal))
    return None, refusals


def report_refusals(name, refusals):
    if not refusals:
        return
    counts = collections.Counter(refusal.reason for _, refusal in refusals)
    reasons = ", ".join(f"{reason} ({count})" for reason, count in counts.most_common())
    log(f"refused {len(refusals)} of the artifacts called {name}, by reason: {reasons}")
    shown = refusals if os.environ.get("RUNNER_DEBUG") == "1" else refusals[:SHOWN_REFUSALS]
    for artifact, refusal in shown:
        run = (artifact["workflow_run"] or {}).get("id", "unknown")
        log(f"  artifact {artifact['id']} of run {run}: {refusal.reason} is {refusal.detail}")


def take(stage, expected, this_run, github):
    """Unpacks the output of a stage; returns False if there is none to take."""
    name, job_name = OUTPUTS[stage]
    candidates = github.artifacts(name)
    if expected:
        candidates = [one for one in candidates if (one["workflow_run"] or {}).get("id") == this_run.run_id]
    artifact, refusals = choose_artifact(candidates, job_name, this_run, github)
    report_refusals(name, refusals)
    if artifact is None:
        return False
    run = github.run(artifact["workflow_run"]["id"])
    label = f"artifact {name} ({artifact['id']}) of run {run['id']}"
    with tempfile.TemporaryDirectory() as scratch:
        archive, file = pathlib.Path(scratch) / "artifact.zip", pathlib.Path(scratch) / f"{name}.tar.gz"
        found = github.download(artifact, archive)
        if found != artifact["digest"]:
            raise TakeError(f"{label}: has digest {found}, {artifact['digest']} is listed")
        try:
            archives.extract_tar(archive, file.name, file)
            with open(file, "rb") as opened:
                inner = f"sha256:{hashlib.file_digest(opened, 'sha256').hexdigest()}"
            if expected and inner != expected:
                raise TakeError(f"{label}: {file.name} has digest {inner}, and {job_name} left {expected} in this run")
            archives.unpack_tar(file, pathlib.Path.cwd())
        except archives.ArchiveError as error:
            raise TakeError(f"{label}: {error}") from error
    origin = f"{run['event']} on {run['head_branch']}, commit {run['head_sha']}"
    log(f"took {file.name} of run {run['id']}, {inner} (artifact {artifact['id']}, {artifact['digest']}; {origin})")
    return True


def log(text):
    print(text, file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(prog="scripts/take_output.sh", description="Unpacks the output of a stage into the working directory.")
    parser.add_argument("--optional", action="store_true", help="nothing to take is no error")
    parser.add_argument("stage", choices=OUTPUTS, metavar="STAGE", help=", ".join(OUTPUTS))
    parser.add_argument("digest", nargs="?", default="", metavar="DIGEST", help="what the stage left in this run; none or empty if it was skipped")
    options = parser.parse_args()
    try:
        if options.digest and not DIGEST.fullmatch(options.digest):
            raise TakeError(f"DIGEST {ascii(options.digest)}: is not sha256: and 64 digits")
        if options.stage.startswith("programs") and not options.digest:
            raise TakeError(f"{options.stage}: needs the DIGEST of the job that built them in this run, which no run skips")
        this_run = read_environment()
        if take(options.stage, options.digest, this_run, GitHub(this_run.repository)):
            return 0
        if options.digest:
            left = f"`{options.stage}` left {options.digest} in this run"
            raise TakeError(f"{left}, and no artifact of run {this_run.run_id} can be taken. Run all jobs again")
        missing = (
            f"there is no output of `{options.stage}` to go on with: it was skipped in this run, "
            f"and no earlier run on {' or '.join(this_run.branches)} has one"
        )
        if not options.optional:
            raise TakeError(f"{missing}. Switch the stage on")
        log(missing)
        return 0
    except TakeError as error:
        log(f"error: {error}")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        log(f"error: an answer of GitHub's API is not of the documented form: {error!r}")
    except OSError as error:
        log(f"error: {error}")
    return 2


if __name__ == "__main__":
    sys.exit(main())
