//! What one request may cost: bodies of the worst shapes, one and four at a time, in little memory. Work stops with its request.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use testkit::Workspace;

use crate::{
    served::{Served, a_house, packaged},
    server::{NEWEST, python},
    serving_admission::{head, many_files, send},
};

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
/// The same where bodies of all kinds come at once, with heads and bodies that never end.
const PEAK_MEMORY_MIXED: u64 = 850;
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
        (
            "unknown levels",
            LIST,
            JSON,
            filled(
                "[",
                &format!("{{\"sqft\":900,\"location\":\"Suburbian\",\"condition\":\"{}\"}},", "good".repeat(24)),
                "{}]",
            ),
            422,
        ),
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

/// The status of the response to a body. `None` where the server closed the connection before the client had sent its whole stream:
/// such a client may not receive the response.
fn send_body(served: &Served, (_, path, media_type, body, _): &Shape) -> (Option<u16>, Duration) {
    let started = Instant::now();
    let mut response = match served.request(path, media_type, body.clone()).send() {
        Ok(response) => response,
        Err(error) if *media_type != JSON && error.is_request() && !error.is_timeout() => return (None, started.elapsed()),
        Err(error) => panic!("no answer: {error}"),
    };
    let status = response.status().as_u16();
    std::io::copy(&mut response, &mut std::io::sink()).expect("the whole answer");
    (Some(status), started.elapsed())
}

/// Whether an answer is the one of its shape, in time; or says that the time is over. Streams may go on while rows flow.
fn is_answered((_, path, media_type, _, expected): &Shape, status: Option<u16>, took: Duration) -> bool {
    let Some(status) = status else { return *expected >= 400 };
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
        let mut attempts = (0..40).map(|_| send_body(&served, shape)).skip_while(|(status, took)| {
            let is_busy = *status == Some(503) && *took < Duration::from_secs(TIMEOUT);
            if is_busy {
                thread::sleep(Duration::from_millis(500));
            }
            is_busy
        });
        let (status, took) = attempts.next().unwrap_or_else(|| panic!("{name}: the server stays busy"));
        assert!(is_answered(shape, status, took), "{name}: {status:?} after {took:?}");
        let answers: Vec<(Option<u16>, Duration)> = thread::scope(|scope| {
            let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| send_body(&served, shape))).collect();
            clients.into_iter().map(|client| client.join().expect("an answer")).collect()
        });
        // others may be refused with 503
        let refused = |(status, took): &(Option<u16>, Duration)| {
            status.is_none_or(|status| status == 503) || is_answered(shape, *status, *took)
        };
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
    assert!(message.contains("not completed within 0.6 seconds; send fewer rows at a time, or a stream"), "{message}");
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

/// An Arrow stream of one batch of 1,000,000 rows: 60 MB.
fn long_batch(workspace: &Workspace) -> Vec<u8> {
    workspace.write(
        "write.py",
        "import pyarrow as pa\n\
         columns = {'sqft': [900.0] * 1_000_000, 'location': ['Rural'] * 1_000_000, **{f'x{n}': [1.0] * 1_000_000 for n in range(5)}}\n\
         table = pa.table(columns)\n\
         with pa.ipc.new_stream('rows.arrows', table.schema) as out:\n    out.write_table(table)\n",
    );
    let output = python(NEWEST).current_dir(workspace.path("")).arg("write.py").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    workspace.bytes("rows.arrows")
}

#[test]
fn everything_at_once_is_answered_in_little_memory() {
    many_files();
    let workspace = packaged(400);
    let served = Served::limited(&workspace, "--log-requests none", ADDRESS_SPACE);
    let address = served.base.strip_prefix("http://").unwrap();
    let house = a_house().to_string();
    let batch = long_batch(&workspace);
    // heads and bodies that do not end, and clients that do not read
    let long_head = format!("POST /predict HTTP/1.1\r\nhost: x\r\nx: {}", "x".repeat(15_000));
    let begun = head("/predict", JSON, 250_000) + "{" + &" ".repeat(60_000);
    let coded = head("/predict", JSON, 250_000).replace("host", "content-encoding: gzip\r\nhost").into_bytes();
    let coded = [coded, gzip(house.repeat(200).as_bytes())[..100].to_vec()].concat();
    let unread = head(LIST, JSON, 14 * 26_000 + 1) + "[" + &"{\"sqft\":900},".repeat(25_999) + "{\"sqft\":900}]";
    let table = [head("/batch-predict", ARROW, batch.len()).as_bytes(), &batch[..batch.len() / 2]].concat();
    let mut held: Vec<TcpStream> = (0..2500).map(|_| send(address, long_head.as_bytes())).collect();
    held.extend((0..1000).map(|place| send(address, if place % 2 == 0 { begun.as_bytes() } else { &coded })));
    held.extend((0..4).map(|_| send(address, &table)));
    held.extend((0..20).map(|_| send(address, unread.as_bytes())));
    // and every kind of body beside them
    let mut shapes = lists();
    shapes.extend(tensor_bodies());
    shapes
        .retain(|(name, ..)| ["given twice", "nested lists", "one long text", "a column that is not needed"].contains(name));
    shapes.extend([
        ("a long batch", "/batch-predict", ARROW, batch, 200),
        ("long rows", LIST, JSON, long_list(300_000), 200),
        (
            "long lines",
            "/batch-predict",
            NDJSON,
            filled("", &format!("{{\"location\":\"{}\"}}\n", "x".repeat(4000)), ""),
            200,
        ),
        ("long cells", "/batch-predict", CSV, filled("sqft,location\n", &format!("900,{}\n", "S".repeat(900_000)), ""), 200),
    ]);
    let answers: Vec<(&str, u16, Option<u16>)> = thread::scope(|scope| {
        let clients: Vec<_> = shapes
            .iter()
            .flat_map(|shape| [shape, shape])
            .map(|shape| scope.spawn(|| (shape.0, shape.4, send_body(&served, shape).0)))
            .collect();
        // single rows are answered all the while
        while clients.iter().any(|client| !client.is_finished()) {
            served.predict(&a_house());
            thread::sleep(Duration::from_millis(50));
        }
        clients.into_iter().map(|client| client.join().expect("an answer")).collect()
    });
    for (name, expected, status) in &answers {
        // one that waits for its client gives way to others
        assert!(status.is_none_or(|status| [*expected, 503, 408].contains(&status)), "{name}: {status:?}");
    }
    assert!(answers.iter().any(|(_, expected, status)| *status == Some(*expected)), "{answers:?}");
    let peak = served.peak_memory();
    assert!(peak < PEAK_MEMORY_MIXED, "{peak} MiB");
    drop(held);
    served.wait("memory for another batch", |served| served.post("/batch-predict", &json!([a_house()])).0 == 200);
    assert!(served.stop().0.success());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn decoding_ends_when_the_client_leaves() {
    const MEMBERS: usize = 60;
    let workspace = packaged(400);
    let served = Served::limited(&workspace, "--log-requests none", ADDRESS_SPACE);
    // 600 MB in a few
    let mut body = gzip(b"sqft,location\n");
    body.extend(gzip("900,Rural\n".repeat(1_000_000).as_bytes()).repeat(MEMBERS));
    assert!(body.len() < 4 << 20, "{} bytes", body.len());
    let head = format!(
        "POST /batch-predict HTTP/1.1\r\nhost: x\r\ncontent-type: {CSV}\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    for sent in [body.len(), body.len() - 1] {
        let mut client = TcpStream::connect(served.base.strip_prefix("http://").unwrap()).unwrap();
        client.write_all(head.as_bytes()).unwrap();
        client.write_all(&body[..sent]).unwrap();
        let before = served.processor_time();
        while served.processor_time() < before + Duration::from_millis(300) {
            thread::sleep(Duration::from_millis(10));
        }
        drop(client);
        served.wait("the end of the work", |served| {
            let before = served.processor_time();
            thread::sleep(Duration::from_millis(300));
            served.processor_time() < before + Duration::from_millis(50)
        });
    }
    let predicted = served.metric("hpp_predictions_total{role=\"champion\"}");
    assert!(predicted < (MEMBERS * 1_000_000) as f64, "{predicted}");
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
