"""What `serve` does under load, beside a bare axum "hello" and, with a peer, an API in Python. Needs wrk and hey (Debian's packages).

The peer's folder has serve_peer.py (FastAPI; POST /predict, /batch-predict), its models' folder model.pkl and pre.pkl. It runs as it does
best: a process a core, each asked on its own port.

With --before PROGRAM another `serve` is measured beside ours, in pairs (`compare`).
"""
import concurrent.futures
import contextlib
import http.client
import json
import math
import multiprocessing
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
OLDEST_BUNDLE = ROOT / "crates/package/golden/bundle_v1.tar.gz"
HOUSE = {"sqft": 1527, "bedrooms": 2, "bathrooms": 1.5, "location": "Suburb", "year_built": 1956, "condition": "Good"}
BATCH = 200_000


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Server:
    """A server on a port of its own, stopped by its own id."""

    def __init__(self, command, port, path="/health", **more):
        self.port, self.log = port, tempfile.TemporaryFile()
        started = time.perf_counter()
        self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=self.log, **more)
        while time.perf_counter() - started < 60:
            try:
                self.ask("GET", path)
                break
            except OSError:
                if self.process.poll() is not None:
                    self.log.seek(0)
                    sys.exit(f"{command}\n{self.log.read().decode()}")
                time.sleep(0.0005)
        self.ready = time.perf_counter() - started

    def processor_seconds(self):
        """What the server has used of the processors."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, method, path, body=None, media_type="application/json"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        connection.request(method, path, body, {"content-type": media_type} if body else {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def memory(self):
        """Megabytes in use."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def wrk(port, path, script=None, connections=32, seconds=3):
    """Requests a second and the answers that were no success."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *(["-s", script] if script else []), f"http://127.0.0.1:{port}{path}"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1]), int(failed[1]) if failed else 0


def probe(port, stop, found):
    """How long /health/live takes, again and again: the worst in milliseconds, and whether all went well."""
    worst, well = 0.0, True
    while not stop.is_set():
        started = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/health/live")
        well &= connection.getresponse().status == 200
        connection.close()
        worst = max(worst, 1000 * (time.perf_counter() - started))
        time.sleep(0.002)
    found.put((worst, well))


class Probed:
    """A process of its own asks whether the server is alive while something else goes on."""

    def __init__(self, server):
        self.stop, self.found = multiprocessing.Event(), multiprocessing.Queue()
        self.process = multiprocessing.Process(target=probe, args=(server.port, self.stop, self.found))

    def __enter__(self):
        self.process.start()
        time.sleep(0.1)
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.worst, self.all_well = self.found.get()
        self.process.join()


def bundle(bin, work):
    shutil.copytree(ROOT / "configs", work / "configs")
    for line in (
        ["process", "--input", ROOT / "data/raw/house_data.csv", "--output", "cleaned.csv"],
        ["engineer", "--input", "cleaned.csv", "--output", "featured.csv", "--preprocessor", "models/trained/preprocessor.bin"],
        ["train", "--config", "configs/model_config.yaml", "--data", "featured.csv", "--models-dir", "models"],
        ["package", "--models-dir", "models", "--output", "packaged"],
    ):
        subprocess.run([str(bin / line[0]), *map(str, line[1:])], cwd=work, check=True, capture_output=True)
    return next(path for path in (work / "packaged").iterdir() if path.is_dir())


def script(work):
    path = work / "predict.lua"
    path.write_text(f"wrk.method = 'POST'\nwrk.headers['content-type'] = 'application/json'\nwrk.body = '{json.dumps(HOUSE)}'\n")
    return path


def start(bin, model, *flags):
    port = free_port()
    command = [bin / "serve", "--model", model, "--listen", f"127.0.0.1:{port}", "--metrics-listen", "none", *flags]
    return Server(command, port)


def alone(bin, model):
    with tempfile.TemporaryDirectory() as folder:
        stripped = pathlib.Path(folder) / "serve"
        subprocess.run(["strip", "-o", stripped, bin / "serve"], check=True)
        size = stripped.stat().st_size / 1e6
    ready, memory = [], []
    for _ in range(11):
        with start(bin, model) as server:
            ready.append(1000 * server.ready)
            time.sleep(0.2)
            memory.append(server.memory())
    print(f"binary, stripped        {size:8.1f} MB")
    print(f"start to first answer   {statistics.median(ready):8.1f} ms")
    print(f"memory at rest          {max(memory):8.1f} MB")


def one_row(args, model, work):
    hello_port = free_port()
    peers = []
    try:
        if args.peer:
            cores = os.cpu_count() or 1
            environment = {**os.environ, "MODEL": str(args.peer_models / "model.pkl"), "PREPROCESSOR": str(args.peer_models / "pre.pkl"), "PYTHONDONTWRITEBYTECODE": "1"}
            for _ in range(cores):
                port = free_port()
                command = [args.serving, "-m", "uvicorn", "serve_peer:app", "--app-dir", args.peer, "--host", "127.0.0.1", "--port", port, "--log-level", "warning"]
                peers.append(Server(command, port, env=environment))
        rates = {"hello": [], "serve": [], "peer": []}
        with start(args.bin, model) as serve, Server([args.bin / "examples/hello", f"127.0.0.1:{hello_port}"], hello_port, "/") as hello:
            for _ in range(args.runs + 3):
                rates["hello"].append(wrk(hello.port, "/")[0])
                rate, failed = wrk(serve.port, "/predict", script(work))
                assert failed == 0, f"{failed} requests failed"
                rates["serve"].append(rate)
                if peers:
                    with concurrent.futures.ThreadPoolExecutor() as pool:
                        found = pool.map(lambda peer: wrk(peer.port, "/predict", script(work), connections=4)[0], peers)
                        rates["peer"].append(sum(found))
            median = {name: statistics.median(found) for name, found in rates.items() if found}
            of_hello = statistics.median(ours / theirs for ours, theirs in zip(rates["serve"], rates["hello"]))
            print(f"one row, requests/s     {median['serve']:8.0f}    hello {median['hello']:.0f}: {of_hello:.2f} of it", end="")
            print(f"    peer {median['peer']:.0f}: {median['serve'] / median['peer']:.0f} times" if peers else "")
            body = work / "body.json"
            body.write_text(json.dumps(HOUSE))
            url = f"http://127.0.0.1:{serve.port}/predict"
            command = ["hey", "-z", "10s", "-c", "10", "-q", "100", "-m", "POST", "-T", "application/json", "-D", body, url]
            told = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout
            percentile = {share: 1000 * float(re.search(rf"{share}% in ([\d.]+) secs", told)[1]) for share in (50, 99)}
            rate = float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1])
            print(f"at {rate:.0f} requests/s      p50 {percentile[50]:.2f} ms, p99 {percentile[99]:.2f} ms")
            batches(args, serve, peers)
    finally:
        for peer in peers:
            peer.__exit__()


def curl(port, body, media_type):
    """Seconds that a batch takes. curl itself takes little of the processor, unlike a client in Python."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        command = ["curl", "-sf", "-o", "/dev/null", "-w", "%{time_total}", "-H", f"content-type: {media_type}", "-H", "expect:", "--data-binary", f"@{file.name}", f"http://127.0.0.1:{port}/batch-predict"]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def batches(args, serve, peers):
    rows = json.dumps([{**HOUSE, "sqft": 900 + row % 3000} for row in range(BATCH)]).encode()
    table = ("sqft,bedrooms,bathrooms,location,year_built,condition\n" + "".join(f"{900 + row % 3000},2,1.5,Suburb,1956,Good\n" for row in range(BATCH))).encode()
    seconds = {}
    for name, body, media_type in (("JSON", rows, "application/json"), ("CSV", table, "text/csv")):
        times, worst = [], []
        for _ in range(args.runs):
            with Probed(serve) as probed:
                times.append(curl(serve.port, body, media_type))
            assert probed.all_well
            worst.append(probed.worst)
        seconds[name] = statistics.median(times)
        print(f"{BATCH} rows, {name:<4}       {seconds[name]:8.3f} s     /health/live meanwhile {statistics.median(worst):.1f} ms at worst (median of runs)", end="")
        if peers and name == "JSON":
            times = []
            for _ in range(min(args.runs, 3)):
                times.append(curl(peers[0].port, body, media_type))
            print(f"    peer {statistics.median(times):.2f} s: {statistics.median(times) / seconds[name]:.0f} times", end="")
        print()


def overload(args, model):
    rows = json.dumps([HOUSE] * 2000).encode()
    with start(args.bin, model, "--log-requests", "none") as server:
        counts, peak, capacity = {}, [server.memory()], []
        end = time.perf_counter() + args.overload
        for _ in range(50):
            started = time.perf_counter()
            server.ask("POST", "/batch-predict", rows)
            capacity.append(time.perf_counter() - started)
        lock = threading.Lock()

        def ask():
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            while time.perf_counter() < end:
                connection.request("POST", "/batch-predict", rows, {"content-type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                with lock:
                    counts[answer.status] = counts.get(answer.status, 0) + 1
            connection.close()

        command = ["wrk", "-t2", "-c400", f"-d{args.overload}s", "-s", str(args.script), f"http://127.0.0.1:{server.port}/predict"]
        flood = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        threads = [threading.Thread(target=ask) for _ in range(64)]
        with Probed(server) as probed:
            for thread in threads:
                thread.start()
            while time.perf_counter() < end:
                peak.append(server.memory())
                time.sleep(0.25)
            for thread in threads:
                thread.join()
        flood.wait()
        after = []
        for _ in range(20):
            started = time.perf_counter()
            status, _ = server.ask("POST", "/predict", json.dumps(HOUSE))
            after.append(1000 * (time.perf_counter() - started))
            assert status == 200
        print(f"overload, {args.overload} s           batches {dict(sorted(counts.items()))}, live {'always' if probed.all_well else 'NOT ALWAYS'} up ({probed.worst:.0f} ms at worst), "
              f"memory {max(peak):.0f} MB at most, afterwards {statistics.median(after):.1f} ms a request")


def reloads(args, model, work):
    """Another bundle takes the place of the first a hundred times while requests are answered."""
    live, other = work / "live", work / "other"
    shutil.copytree(model, other)
    manifest = other / "manifest.json"
    manifest.write_text(manifest.read_text() + " \n")
    live.symlink_to(model)
    with start(args.bin, live, "--log-requests", "none") as server:
        flood = subprocess.Popen(["wrk", "-t1", "-c16", "-d12s", "-s", str(args.script), f"http://127.0.0.1:{server.port}/predict"], stdout=subprocess.PIPE, text=True)
        time.sleep(0.5)
        for turn in range(100):
            new = work / "new"
            new.symlink_to(model if turn % 2 else other)
            new.rename(live)
            server.process.send_signal(signal.SIGHUP)
            time.sleep(0.1)
        told = flood.communicate()[0]
        _, metrics = server.ask("GET", "/metrics")
        loaded = re.search(rb'hpp_model_reloads_total\{reason="loaded"\} (\d+)', metrics)[1].decode()
        bad = re.search(r"Non-2xx.*|Socket errors.*", told)
        asked = re.search(r"(\d+) requests in", told)[1]
        print(f"reloads under load      {loaded:>8}       {bad[0] if bad else 'no failed request'} of {asked}")


def compare(args):
    """Another `serve`, --before, and ours in turn: how many times as long ours takes for a request of one row.

    Both load a bundle of version 0.1.0, which every version reads, and stay up. They share one processor and the client has another one: who
    runs where would otherwise decide. Every second pair begins with the other server. The first line is of requests a second, the second of the
    server's processor time for each.
    """
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as servers:
        work = pathlib.Path(folder)
        lua, before = script(work), work / "before"
        before.mkdir()
        (before / "serve").symlink_to(args.before.resolve())
        os.sched_setaffinity(0, cores[:1])
        running = {bin: servers.enter_context(start(bin, OLDEST_BUNDLE, "--log-requests", "none", "--workers", "1")) for bin in (before, args.bin)}
        os.sched_setaffinity(0, cores[-1:])
        for server in running.values():
            wrk(server.port, "/predict", lua, seconds=1)
        times, processor_times = [], []
        for pair in range(args.pairs):
            rates, costs = {}, {}
            for bin in (before, args.bin) if pair % 2 else (args.bin, before):
                spent = running[bin].processor_seconds()
                rates[bin], failed = wrk(running[bin].port, "/predict", lua, seconds=args.seconds)
                costs[bin] = (running[bin].processor_seconds() - spent) / (rates[bin] * args.seconds)
                assert failed == 0, f"{failed} requests failed"
            times.append(rates[before] / rates[args.bin])
            processor_times.append(costs[args.bin] / costs[before])
            print(f"pair {pair + 1:3}   before {rates[before]:8.0f}   after {rates[args.bin]:8.0f} requests/s   {times[-1]:.3f}   processor time {processor_times[-1]:.3f}", flush=True)
        os.sched_setaffinity(0, cores)
    print(f"time of a request, after / before: {interval(times)}")
    print(f"processor time of a request, after / before: {interval(processor_times)}")


def interval(ratios):
    """The geometric mean of ratios with its 95 % interval (Student's t of 14 degrees of freedom; more pairs make it smaller)."""
    logs = [math.log(ratio) for ratio in ratios]
    mean, half = statistics.mean(logs), 2.145 * statistics.stdev(logs) / math.sqrt(len(logs))
    return f"{math.exp(mean):.3f}, 95 % interval {math.exp(mean - half):.3f} to {math.exp(mean + half):.3f}, median {statistics.median(ratios):.3f}, {len(ratios)} pairs"


def main(args):
    for tool in ("wrk", "hey", "strip"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is not on the PATH: apt-get install wrk hey binutils")
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        model = bundle(args.bin, work)
        args.script = script(work)
        alone(args.bin, model)
        one_row(args, model, work)
        reloads(args, model, work)
        overload(args, model)
