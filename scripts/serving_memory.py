"""What bodies of 64 MiB of bad shapes cost `serve`: status, seconds and peak memory, one and four at a time, in 1 GiB of address space.

    python3 scripts/serving_memory.py SERVE BUNDLE [SHAPE…]      # with pyarrow: Arrow streams, too

Each measurement has a server of its own. The last one, `mixed`, sends everything at once: bodies of several shapes, unfinished heads and
bodies, and clients that do not read. The end is 1 where a server died, or answered later than it may.
"""
import concurrent.futures
import gzip
import http.client
import json
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time

LENGTH = 64 << 20
ADDRESS_SPACE = 1 << 20  # KiB
TIMEOUT = 30
LIST, DETAILS, INFER = "/batch-predict", "/batch-predict?details=true", "/v2/models/{name}/infer"
JSON, CSV, NDJSON, ARROW = "application/json", "text/csv", "application/x-ndjson", "application/vnd.apache.arrow.stream"
HOUSE = {"sqft": 1527, "bedrooms": 2, "bathrooms": 1.5, "location": "Suburb", "year_built": 1956, "condition": "Good"}


def filled(start, piece, end=b""):
    return start + piece * ((LENGTH - len(start) - len(end)) // len(piece)) + end


def rows(row, count):
    return b"[" + b",".join([row] * count) + b"]"


def tensors(start, piece, end):
    return filled(b'{"inputs":[{"name":"sqft","shape":[1],"datatype":"FP64","data":[900]}' + start, piece, end)


def tensor(name):
    return b',{"name":"%s","shape":[1],"datatype":"BYTES","data":[' % name


def columns(count):
    data = {"sqft": "900", "bedrooms": "2", "bathrooms": "1", "location": '"Rural"', "year_built": "1956", "condition": '"Good"'}
    text = ",".join(
        '{"name":"%s","shape":[%d],"datatype":"%s","data":[%s]}' % (name, count, "BYTES" if '"' in value else "FP64", ",".join([value] * count))
        for name, value in data.items()
    )
    return ('{"outputs":[{"name":"price"},{"name":"price_low"},{"name":"price_high"}],"inputs":[%s]}' % text).encode()


def shapes():
    padded = lambda row: row[:-1] + b',"price":"' + b"x" * (110 - len(row)) + b'"}'
    unknown = b"".join(b'"x%d":0,' % place for place in range(100))
    text = "é\\n".encode() * 250_000
    house = json.dumps(HOUSE).encode()
    yield "rows: empty", DETAILS, JSON, lambda: filled(b"[", b"{},", b"{}]")
    yield "rows: 500,000 with details", DETAILS, JSON, lambda: rows(padded(b'{"sqft":900}'), 490_000)
    yield "rows: 480,000 whole", LIST, JSON, lambda: rows(house, 480_000)
    yield "rows: 500,000 faults", DETAILS, JSON, lambda: rows(padded(b'{"a":1}'), 490_000)
    yield "rows: unknown fields", LIST, JSON, lambda: filled(b"[", b"{%s\"sqft\":900}," % unknown, b"{}]")
    yield "rows: fields given twice", LIST, JSON, lambda: filled(b"[", b"{%s\"sqft\":900}," % (b'"sqft":1,' * 5000), b"{}]")
    yield "rows: long escaped texts", LIST, JSON, lambda: filled(b"[", b'{"location":"%s"},' % text, b"{}]")
    yield "rows: texts of 4,000 bytes", LIST, JSON, lambda: filled(b"[", b'{"sqft":900,"location":"%s"},' % (b"S" * 4000), b"{}]")
    yield "rows: texts of 9 bytes", LIST, JSON, lambda: filled(b"[", b'{"sqft":900,"location":"Suburbian","condition":"%s"},' % (b"good" * 24), b"{}]")
    yield "rows: numbers of 1 MB", LIST, JSON, lambda: filled(b"[", b'{"sqft":%s},' % (b"9" * 1_000_000), b"{}]")
    yield "rows: nested values", LIST, JSON, lambda: filled(b"[", b'{"sqft":%s%s},' % (b"[" * 400_000, b"]" * 400_000), b"{}]")
    yield "rows: one row", LIST, JSON, lambda: filled(b'[{"sqft":900,"price":"', b"\\n", b'"}]')
    yield "rows: one number", LIST, JSON, lambda: filled(b"[", b"1", b"]")
    yield "rows: no list", LIST, JSON, lambda: filled(b'"', b"\\n", b'"')
    yield "rows: brackets", LIST, JSON, lambda: filled(b"", b"[")
    yield "rows: quotes", LIST, JSON, lambda: filled(b"[", b'"",', b'""]')
    yield "rows: the last is cut", LIST, JSON, lambda: rows(house, 480_000)[:-1]
    yield "tensors: 500,000 rows", INFER, JSON, lambda: columns(500_000)
    yield "tensors: short shape", INFER, JSON, lambda: tensors(tensor(b"bedrooms"), b"1,", b"1]}]}")
    yield "tensors: data before name", INFER, JSON, lambda: filled(b'{"inputs":[{"data":[', b'"a",', b'1],"name":"sqft"}]}')
    yield "tensors: long texts", INFER, JSON, lambda: tensors(tensor(b"location"), b'"%s",' % (b"\\n" * 2000), b'1]}]}')
    yield "tensors: one text", INFER, JSON, lambda: tensors(tensor(b"location"), b'\\"', b'"]}]}')
    yield "tensors: one number", INFER, JSON, lambda: tensors(tensor(b"bedrooms"), b"9", b"]}]}")
    yield "tensors: lists", INFER, JSON, lambda: tensors(tensor(b"bedrooms"), b"[[1]],", b"1]}]}")
    yield "tensors: not needed", INFER, JSON, lambda: tensors(tensor(b"price"), b"1,", b"1]}]}")
    yield "tensors: unknown", INFER, JSON, lambda: tensors(tensor(b"other"), b"1,", b"1]}]}")
    yield "tensors: many not needed", INFER, JSON, lambda: tensors(b"", tensor(b"price") + b"]}", b"]}")
    yield "tensors: parameters", INFER, JSON, lambda: tensors(b'],"parameters":[', b"{},", b"{}]}")
    yield "tensors: deep parameters", INFER, JSON, lambda: tensors(b'],"parameters":', b"[", b"")
    yield "tensors: outputs", INFER, JSON, lambda: tensors(b'],"outputs":[', b'{"name":"price"},', b'{"name":"price"}]}')
    yield "tensors: shape", INFER, JSON, lambda: filled(b'{"inputs":[{"name":"sqft","shape":[', b"1,", b'1],"datatype":"FP64","data":[1]}]}')
    yield "tensors: id", INFER, JSON, lambda: filled(b'{"id":"', b"x", b'","inputs":[]}')
    yield "lines: one", LIST, NDJSON, lambda: filled(b'{"a":"', b"\\n", b'"}')
    yield "lines: empty rows", LIST, NDJSON, lambda: (b"{}\n" * (8 << 20))[: LENGTH // 8]
    yield "lines: unknown fields", LIST, NDJSON, lambda: filled(b"", b"{%s\"sqft\":900}\n" % unknown)
    yield "lines: long texts", LIST, NDJSON, lambda: filled(b"", b'{"location":"%s"}\n' % text)
    yield "lines: no JSON", LIST, NDJSON, lambda: (b"x\n" * (4 << 20))
    yield "cells: one", LIST, CSV, lambda: filled(b'sqft,location\n900,"', b"x", b"\n")
    yield "cells: wide rows", LIST, CSV, lambda: filled(b"sqft,location\n", b"," * 1_000_000 + b"\n")
    yield "cells: wide header", LIST, CSV, lambda: filled(b"sqft", b",x", b"\n900\n")
    yield "cells: narrow rows, wide header", LIST, CSV, lambda: b"sqft" + b",x" * 4000 + b"\n" + b"9\n" * 100_000
    yield "cells: short rows", LIST, CSV, lambda: b"sqft\n" + b"9\n" * (4 << 20)
    yield "cells: long texts", LIST, CSV, lambda: filled(b"sqft,location\n", b"900," + b"S" * 1_000_000 + b"\n")
    try:
        import pyarrow
    except ImportError:
        return
    yield from arrow_shapes(pyarrow)


def arrow_shapes(pyarrow):
    def stream(table, **more):
        sink = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, **more)
        return sink.getvalue().to_pybytes()

    numbers = lambda count: {"sqft": pyarrow.array([900.0] * count), "location": pyarrow.array(["Rural"] * count)}
    yield "batches: one of 1,000,000 rows", LIST, ARROW, lambda: stream(pyarrow.table({**numbers(1_000_000), **{f"x{place}": pyarrow.array([1.0] * 1_000_000) for place in range(5)}}))
    yield "batches: one row each", LIST, ARROW, lambda: stream(pyarrow.table(numbers(100_000)), max_chunksize=1)
    yield "batches: small integers", LIST, ARROW, lambda: stream(pyarrow.table({"sqft": pyarrow.array([9] * 1_000_000, pyarrow.int8()), **{f"x{place}": pyarrow.array([9] * 1_000_000, pyarrow.int8()) for place in range(55)}}))
    yield "batches: one long text", LIST, ARROW, lambda: stream(pyarrow.table({"sqft": [900.0], "location": ["S" * (60 << 20)]}))
    yield "batches: a dictionary of long texts", LIST, ARROW, lambda: stream(pyarrow.table({"sqft": pyarrow.array([900.0] * 1_000_000), "location": pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 1_000_000, pyarrow.int8()), ["S" * 4000])}))
    yield "batches: a dictionary of 60 MiB", LIST, ARROW, lambda: stream(pyarrow.table({"sqft": [900.0], "location": pyarrow.DictionaryArray.from_arrays(pyarrow.array([0], pyarrow.int8()), ["S" * (60 << 20)])}))
    yield "batches: many columns", LIST, ARROW, lambda: stream(pyarrow.table({"sqft": [900.0] * 10, **{f"x{place}": [1.0] * 10 for place in range(5000)}}), max_chunksize=1)


def send(port, path, media_type, body):
    """Status and seconds; the answer is read and not kept."""
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request("POST", path, body, {"content-type": media_type})
    except BrokenPipeError:
        pass  # refused before the body was sent: the answer says why, or the connection is gone
    answer, length = connection.getresponse(), 0
    while chunk := answer.read(1 << 20):
        length += len(chunk)
    connection.close()
    return answer.status, time.perf_counter() - started, length


class Server:
    """A server in little address space, stopped by its own id."""

    def __init__(self, program, bundle):
        self.log = tempfile.NamedTemporaryFile()
        command = f'ulimit -v {ADDRESS_SPACE}; exec "$0" --model "$1" --listen 127.0.0.1:0 --metrics-listen none --log-requests none'
        self.process = subprocess.Popen(["sh", "-c", command, program, bundle], stdout=subprocess.DEVNULL, stderr=self.log)
        while not (ready := re.search(r'"address":"http://127.0.0.1:(\d+)".*"model":"([^"]+)"', pathlib.Path(self.log.name).read_text())):
            if self.process.poll() is not None:
                sys.exit(pathlib.Path(self.log.name).read_text())
            time.sleep(0.01)
        self.port, self.name = int(ready[1]), ready[2]

    def peak(self, key):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{key}:\s+(\d+)", status)
        return int(found[1]) / 1024 if found else float("nan")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def begin(port, path, media_type, length, start, more=b""):
    """A request that goes no further than `start`."""
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n".encode()
    connection = socket.create_connection(("127.0.0.1", port))
    connection.settimeout(2)
    try:
        connection.sendall(head + more + b"\r\n" + start)
    except OSError:
        pass  # the server takes no more of it for now
    return connection


def unfinished(port, bodies):
    """Heads and bodies that never end, and clients that do not read what they asked for."""
    coded = gzip.compress(json.dumps(HOUSE).encode() * 200)[:-20]
    details = bodies["rows: 500,000 with details"][2]
    for _ in range(2500):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(b"POST /predict HTTP/1.1\r\nhost: x\r\nx: " + b"x" * 15_000)
        yield connection
    for place in range(1000):
        more = b"content-encoding: gzip\r\n" if place % 2 else b""
        yield begin(port, "/predict", JSON, 250_000, coded if place % 2 else b"{" + b" " * 60_000, more)
    for path, media_type, body in bodies.values():
        if media_type != JSON:
            yield begin(port, path, media_type, len(body), body[: len(body) // 2])
    yield begin(port, DETAILS, JSON, len(details), details[: len(details) // 2])
    for _ in range(20):
        yield begin(port, DETAILS, JSON, 400_001, b"[" + b",".join([b'{"sqft":900.0}'] * 26_667)[:399_999] + b"]")


def mixed(program, bundle):
    """Everything at once; false if the server died or does not answer a single row."""
    names = ["rows: 500,000 with details", "rows: nested values", "tensors: 500,000 rows", "tensors: many not needed", "lines: long texts"]
    names += ["cells: long texts", "batches: one of 1,000,000 rows", "batches: one long text"]
    made = {name: (path, media_type, make()) for name, path, media_type, make in shapes() if name in names}
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with Server(program, bundle) as server:
        held = list(unfinished(server.port, made))
        send_one = lambda wanted: send(server.port, wanted[0].format(name=server.name), *wanted[1:])[0]
        predict = lambda: send(server.port, "/predict", JSON, json.dumps(HOUSE))
        statuses, times = {}, []
        with concurrent.futures.ThreadPoolExecutor(len(made) * 3) as pool:
            asked = [(name, pool.submit(send_one, wanted)) for name, wanted in list(made.items()) * 3]
            while not all(answer.done() for _, answer in asked):
                times.append(predict()[:2])
                time.sleep(0.1)
            for name, answer in asked:
                statuses.setdefault(name, []).append(repr(answer.exception()) if answer.exception() else answer.result())
        for name, found in statuses.items():
            print(f"mixed: {name:<36} {found}")
        lives = server.process.poll() is None and predict()[0] == 200
        late = max(took for _, took in times)
        print(f"mixed: {len(held)} unfinished; rows beside it {sorted({status for status, _ in times})}, at most {late:.2f} s; peak {server.peak('VmHWM'):.0f} MiB, address space {server.peak('VmPeak'):.0f} MiB{'' if lives else '  DIED'}")
        return lives and all(status == 200 for status, _ in times)


def main(program, bundle, wanted):
    well = True
    print(f"{'shape':<36} at a time  statuses                seconds  answer MiB  peak MiB  address space MiB")
    for name, path, media_type, make in shapes():
        if wanted and not any(part in name for part in wanted):
            continue
        body = make()
        for count in (1, 4):
            with Server(program, bundle) as server:
                ask = lambda _: send(server.port, path.format(name=server.name), media_type, body)
                with concurrent.futures.ThreadPoolExecutor(count) as pool:
                    try:
                        answers = list(pool.map(ask, range(count)))
                    except (OSError, http.client.HTTPException) as error:
                        print(f"{name:<36} {count:>9}  {error!r}")
                        well = False
                        continue
                statuses = " ".join(str(status) for status, _, _ in answers)
                seconds = max(took for _, took, _ in answers)
                length = max(length for _, _, length in answers) / (1 << 20)
                lives = server.process.poll() is None and send(server.port, "/predict", JSON, json.dumps(HOUSE))[0] == 200
                well &= lives and (path in (LIST, DETAILS) and media_type != JSON or seconds < TIMEOUT + 5)
                print(f"{name:<36} {count:>9}  {statuses:<20} {seconds:>10.1f}  {length:>10.1f}  {server.peak('VmHWM'):>8.0f}  {server.peak('VmPeak'):>8.0f}{'' if lives else '  DIED'}", flush=True)
    if not wanted or "mixed" in wanted:
        well &= mixed(program, bundle)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
