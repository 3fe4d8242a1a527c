//! What one request may cost: bodies of the worst shapes, one and four at a time, in little memory. Work stops with its request.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::served::{Served, a_house, packaged};

const JSON: &str = "application/json";
const CSV: &str = "text/csv";
const NDJSON: &str = "application/x-ndjson";
const ARROW: &str = "application/vnd.apache.arrow.stream";
const LIST: &str = "/batch-predict?details=true";
const INFER: &str = "/v2/models/m/infer";
/// The length of the bodies: the longest that is taken.
const LENGTH: usize = 64 << 20;
/// The address space of the server in KiB.
const ADDRESS_SPACE: u64 = 1 << 20;
/// The bound in MiB that docs/serving.md states.
const PEAK_MEMORY: u64 = 700;
/// Seconds that a request may take.
const TIMEOUT: u64 = 30;
/// How long a body may take to come and its answer to go, on a machine that is busy with other tests.
const TRANSFER: Duration = Duration::from_secs(20);

/// A text of [`LENGTH`] bytes: a piece again and again between two ends.
fn filled(start: &str, piece: &str, end: &str) -> Vec<u8> {
    let count = (LENGTH - start.len() - end.len()) / piece.len();
    let mut body = Vec::with_capacity(LENGTH);
    body.extend_from_slice(start.as_bytes());
    (0..count).for_each(|_| body.extend_from_slice(piece.as_bytes()));
    body.extend_from_slice(end.as_bytes());
    body
}

/// A request of tensors: one for `sqft`, and `rest`.
fn tensors(rest: &str) -> String {
    format!("{{\"inputs\":[{{\"name\":\"sqft\",\"shape\":[1],\"datatype\":\"FP64\",\"data\":[900]}}{rest}")
}

/// Name, path, media type, body, and the status that answers it where there is memory for it.
type Shape = (&'static str, &'static str, &'static str, Vec<u8>, u16);

fn lists() -> Vec<Shape> {
    let unknown: String = (0..60).map(|place| format!("\"x{place}\":0,")).collect();
    let long_text = "é\\n".repeat(250_000);
    vec![
        ("empty rows", LIST, JSON, filled("[", "{},", "{}]"), 413),
        ("unknown fields", LIST, JSON, filled("[", &format!("{{{unknown}\"sqft\":900}},"), "{}]"), 422),
        (
            "given twice",
            LIST,
            JSON,
            filled(
                "[",
                "{\"sqft\":1,\"sqft\":2,\"sqft\":3,\"price\":\"long enough that there are few of these rows, and fewer of them than the limit of rows of a list\",\"rooms\":0,\"sqft\":900},",
                "{}]",
            ),
            422,
        ),
        ("long escaped texts", LIST, JSON, filled("[", &format!("{{\"location\":\"{long_text}\"}},"), "{}]"), 422),
        ("one row", LIST, JSON, filled("[{\"sqft\":900,\"price\":\"", "\\n", "\"}]"), 413),
        ("one number", LIST, JSON, filled("[", "1", "]"), 413),
        ("no list", LIST, JSON, filled("\"", "\\n", "\""), 422),
        ("nested lists", LIST, JSON, filled("", "[", ""), 413),
    ]
}

fn tensor_bodies() -> Vec<Shape> {
    let data = |name: &str| format!(",{{\"name\":\"{name}\",\"shape\":[1],\"datatype\":\"BYTES\",\"data\":[");
    vec![
        ("short shape, long data", INFER, JSON, filled(&tensors(&data("bedrooms")), "1,", "1]}]}"), 413),
        ("data before the name", INFER, JSON, filled("{\"inputs\":[{\"data\":[", "\"a\",", "1],\"name\":\"sqft\"}]}"), 413),
        ("a column that is not needed", INFER, JSON, filled(&tensors(&data("price")), "1,", "1]}]}"), 200),
        ("an unknown tensor", INFER, JSON, filled(&tensors(&data("other")), "1,", "1]}]}"), 400),
        ("one long text", INFER, JSON, filled(&tensors(&data("location")), "\\\"", "\"]}]}"), 413),
        ("parameters", INFER, JSON, filled(&tensors("],\"parameters\":["), "{},", "{}]}"), 200),
        ("nested parameters", INFER, JSON, filled(&tensors("],\"parameters\":"), "[", ""), 400),
        (
            "outputs",
            INFER,
            JSON,
            filled(&tensors("],\"outputs\":["), "{\"name\":\"price\"},", "{\"name\":\"price\"}]}"),
            400,
        ),
        (
            "a long shape",
            INFER,
            JSON,
            filled("{\"inputs\":[{\"name\":\"sqft\",\"shape\":[", "1,", "1],\"datatype\":\"FP64\",\"data\":[1]}]}"),
            400,
        ),
    ]
}

fn streams() -> Vec<Shape> {
    let wide = format!("{}\n", ",".repeat(100_000));
    vec![
        ("one line", "/batch-predict", NDJSON, filled("{\"a\":\"", "\\n", "\"}"), 400),
        (
            "lines of unknown fields",
            "/batch-predict",
            NDJSON,
            filled(
                "",
                &format!("{{{}\"sqft\":900}}\n", "\"unknown\":\"a value of a field that there is not\",".repeat(5000)),
                "",
            ),
            200,
        ),
        ("one quoted cell", "/batch-predict", CSV, filled("sqft,location\n900,\"", "x", "\n"), 400),
        ("wide rows", "/batch-predict", CSV, filled("sqft,location\n", &wide, ""), 200),
        ("a wide header", "/batch-predict", CSV, filled("sqft", ",x", "\n900\n"), 400),
        ("an Arrow message that says it is long", "/batch-predict", ARROW, filled("\u{7f}", "\u{7f}", ""), 400),
    ]
}

/// What the server said to a body; the answer is read and not kept.
fn send(served: &Served, (_, path, media_type, body, _): &Shape) -> (u16, Duration) {
    let started = Instant::now();
    let mut response = match served.request(path, media_type, body.clone()).send() {
        Ok(response) => response,
        // a stream that is refused is not read to its end: a client that is still sending may not hear why
        Err(error) if *media_type != JSON && error.is_request() && !error.is_timeout() => return (400, started.elapsed()),
        Err(error) => panic!("no answer: {error}"),
    };
    let status = response.status().as_u16();
    std::io::copy(&mut response, &mut std::io::sink()).expect("the whole answer");
    (status, started.elapsed())
}

/// Whether an answer is the one of its shape, in time; or says that the time is over. Streams may go on while rows flow.
fn is_answered((_, path, media_type, _, expected): &Shape, status: u16, took: Duration) -> bool {
    let time = Duration::from_secs(TIMEOUT);
    let may_go_on = *path == "/batch-predict" && *media_type != JSON;
    if status == *expected {
        may_go_on || took < time + TRANSFER
    } else {
        status == 503 && took >= time && took < time + TRANSFER
    }
}

fn check(shapes: Vec<Shape>) {
    let workspace = packaged(400);
    let served = Served::limited(&workspace, "--log-requests none", ADDRESS_SPACE);
    for shape in &shapes {
        let name = shape.0;
        // the memory of bodies before it comes back when the work on them has ended: until then it is to come again
        let mut attempts = (0..40).map(|_| send(&served, shape)).skip_while(|(status, took)| {
            let is_busy = *status == 503 && *took < Duration::from_secs(TIMEOUT);
            if is_busy {
                thread::sleep(Duration::from_millis(500));
            }
            is_busy
        });
        let (status, took) = attempts.next().unwrap_or_else(|| panic!("{name}: the server stays busy"));
        assert!(is_answered(shape, status, took), "{name}: {status} after {took:?}");
        let answers: Vec<(u16, Duration)> = thread::scope(|scope| {
            let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| send(&served, shape))).collect();
            clients.into_iter().map(|client| client.join().expect("an answer")).collect()
        });
        // others may be refused with 503
        let refused = |(status, took): &(u16, Duration)| *status == 503 || is_answered(shape, *status, *took);
        assert!(answers.iter().all(refused), "{name}: {answers:?}");
        assert!(answers.iter().any(|(status, took)| is_answered(shape, *status, *took)), "{name}: {answers:?}");
        assert_eq!(served.post("/predict", &a_house()).0, 200, "{name}");
    }
    served.wait("memory for another batch", |served| served.post("/batch-predict", &json!([a_house()])).0 == 200);
    let peak = served.peak_memory();
    assert!(peak < PEAK_MEMORY, "{peak} MiB");
    assert!(served.stop().0.success());
}

#[test]
fn lists_of_every_shape_are_answered_in_little_memory() {
    check(lists());
}

#[test]
fn tensors_of_every_shape_are_answered_in_little_memory() {
    check(tensor_bodies());
}

#[test]
fn streams_of_every_shape_are_answered_in_little_memory() {
    check(streams());
}

/// A list of so many rows, with the longest answers.
fn long_list(rows: usize) -> Vec<u8> {
    let row = format!("{{\"sqft\":900,\"price\":\"{}\"}},", "x".repeat(90));
    let mut body = row.repeat(rows - 1).into_bytes();
    body.insert(0, b'[');
    body.extend_from_slice(b"{\"sqft\":900}]");
    assert!(body.len() < LENGTH);
    body
}

#[test]
fn work_ends_when_the_client_leaves_or_the_time_is_over() {
    let workspace = packaged(400);
    let served = Served::limited(&workspace, "--log-requests none --max-batches 1 --timeout 0.6", ADDRESS_SPACE);
    let body = long_list(500_000);
    let small = json!([a_house()]);
    let idle = |served: &Served| {
        let before = served.processor_time();
        thread::sleep(Duration::from_millis(500));
        served.processor_time() < before + Duration::from_millis(100)
    };
    // the time is over
    let (status, message) = served.text(LIST, JSON, body.clone());
    assert_eq!(status, 503);
    assert!(message.contains("not done within 0.6 seconds; send fewer rows at a time, or a stream"), "{message}");
    served.wait("the end of the work", idle);
    served.wait("the turn of another batch", |served| served.post("/batch-predict", &small).0 == 200);

    // the client leaves
    let served = Served::limited(&workspace, "--log-requests none --max-batches 1", ADDRESS_SPACE);
    let address = served.base.strip_prefix("http://").unwrap();
    for _ in 0..3 {
        let mut client = TcpStream::connect(address).unwrap();
        let head =
            format!("POST {LIST} HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\ncontent-length: {}\r\n\r\n", body.len());
        client.write_all(head.as_bytes()).unwrap();
        client.write_all(&body).unwrap();
        let before = served.processor_time();
        while served.processor_time() < before + Duration::from_millis(200) {
            thread::sleep(Duration::from_millis(10));
        }
        // one batch at a time: while this one is worked on, another is refused
        assert_eq!(served.post("/batch-predict", &small).0, 503);
        drop(client);
        served.wait("the turn of another batch", |served| served.post("/batch-predict", &small).0 == 200);
        assert!(idle(&served));
    }
    assert!(served.peak_memory() < PEAK_MEMORY);
}

#[test]
fn a_long_answer_is_whole_and_waits_on_the_disk() {
    const ROWS: usize = 100_000;
    let workspace = packaged(400);
    let served = Served::limited(&workspace, "--log-requests none", ADDRESS_SPACE);
    let mut response = served.request(LIST, JSON, long_list(ROWS)).send().unwrap();
    assert_eq!(response.status().as_u16(), 200);
    let length = response.content_length().expect("a length");
    assert!(length > 40 << 20, "{length} bytes");
    let (mut rows, mut read, mut chunk) = (0, 0, vec![0; 1 << 20]);
    loop {
        let count = response.read(&mut chunk).unwrap();
        if count == 0 {
            break;
        }
        // every row has one interval, and no other list of numbers
        rows += String::from_utf8_lossy(&chunk[..count]).matches('{').count();
        read += count as u64;
    }
    assert_eq!(read, length);
    assert_eq!(rows % ROWS, 0, "{rows}");
    assert!(served.peak_memory() < PEAK_MEMORY);
    // the next list is answered
    let list = served.post("/batch-predict", &json!(vec![a_house(); 5000])).1;
    assert_eq!(list.as_array().unwrap().len(), 5000);
}
