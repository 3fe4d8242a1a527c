//! Requests with odd heads, and bodies in gzip.

use std::{io::Write, net::TcpStream, time::Duration};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::{
    served::{Served, a_house, packaged},
    wire::{Answer, exchange, host},
};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The request line of a prediction.
const POST: &str = "POST /predict HTTP/1.1";

/// A row, and what the head and the body of its request consist of.
struct HouseRequest {
    house: String,
    /// The header line with the length of the row.
    length: String,
    /// The row as a chunked body.
    chunks: String,
}

impl HouseRequest {
    fn new() -> Self {
        let house = a_house().to_string();
        let length = format!("content-length: {}\r\n", house.len());
        let chunks = format!("{:x}\r\n{house}\r\n0\r\n\r\n", house.len());
        Self { house, length, chunks }
    }
}

/// A POST of a row with these lines in its head.
fn ask(address: &str, start: &str, lines: &str, body: &[u8]) -> Answer {
    exchange(address, &[format!("{start}\r\n{lines}connection: close\r\n\r\n").as_bytes(), body].concat())
}

#[test]
fn heads_that_are_not_understood_are_refused_and_logged() {
    let workspace = packaged(400);
    let served = Served::start(&workspace, "");
    let address = host(&served.base).to_owned();
    let HouseRequest { house, length, chunks } = HouseRequest::new();
    for (start, lines, body, status, message) in [
        (POST, format!("host: x\r\n{length}"), &house, 200, ""),
        (POST, length.clone(), &house, 400, "host: is missing"),
        (POST, format!("host: x\r\nhost: x\r\n{length}"), &house, 400, "host: is repeated"),
        (POST, format!("host:\r\n{length}"), &house, 400, "host: is not HOST or HOST:PORT"),
        (POST, format!("host: a b\r\n{length}"), &house, 400, "host: is not HOST or HOST:PORT"),
        (POST, format!("host: x@y\r\n{length}"), &house, 400, "host: is not HOST or HOST:PORT"),
        ("POST /predict HTTP/1.0", length.clone(), &house, 200, ""),
        (POST, "host: x\r\ntransfer-encoding: chunked\r\n".into(), &chunks, 200, ""),
        (
            POST,
            "host: x\r\ntransfer-encoding: gzip, chunked\r\n".into(),
            &chunks,
            501,
            "transfer-encoding: only chunked is supported; send a gzip body with content-encoding: gzip",
        ),
        (
            POST,
            "host: x\r\ntransfer-encoding: chunked, chunked\r\n".into(),
            &chunks,
            400,
            "transfer-encoding: chunked is repeated",
        ),
        (
            POST,
            "host: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n".into(),
            &chunks,
            400,
            "content-length: not allowed together with transfer-encoding; send one of them",
        ),
        (
            POST,
            "host: x\r\ntransfer-encoding: chunked\r\nContent-Length: 5\r\n".into(),
            &chunks,
            400,
            "content-length: not allowed together with transfer-encoding; send one of them",
        ),
        (POST, format!("host: x\r\nexpect: a-miracle\r\n{length}"), &house, 417, "expect: only 100-continue is supported"),
        (POST, format!("host: x\r\ncontent-encoding: identity\r\n{length}"), &house, 200, ""),
        (
            POST,
            format!("host: x\r\ncontent-encoding: br\r\n{length}"),
            &house,
            415,
            "content-encoding: only gzip is supported, and only once",
        ),
        (
            POST,
            format!("host: x\r\ncontent-encoding: gzip, gzip\r\n{length}"),
            &house,
            415,
            "content-encoding: only gzip is supported, and only once",
        ),
    ] {
        let answer = ask(&address, start, &lines, body.as_bytes());
        assert_eq!(answer.status, status, "{lines}: {}", answer.text());
        if !message.is_empty() {
            assert_eq!(serde_json::from_str::<Value>(&answer.text()).unwrap()["error"], message, "{lines}");
            assert!(answer.head.contains("connection: close"), "{}", answer.head);
        }
        assert_eq!(status == 415, answer.head.contains("accept-encoding: gzip, identity"), "{}", answer.head);
    }
    // what the parser refuses by itself
    for (lines, status) in [
        ("host: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n".to_owned(), 400),
        ("host: x\r\ncontent-length: -1\r\n".into(), 400),
        ("host: x\r\ncontent-length: +5\r\n".into(), 400),
        ("host: x\r\ntransfer-encoding: chunked, gzip\r\n".into(), 400),
        ("host : x\r\n".into(), 400),
        ("host: x\r\n folded: y\r\n".into(), 400),
        (format!("host: x\r\n{}", "a: b\r\n".repeat(200)), 431),
        (format!("host: x\r\na: {}\r\n", "b".repeat(100_000)), 431),
    ] {
        assert_eq!(ask(&address, POST, &lines, b"").status, status, "{}", &lines[..lines.len().min(80)]);
    }
    assert_eq!(ask(&address, "POST /predict HTTP/1.0", "transfer-encoding: chunked\r\n", chunks.as_bytes()).status, 400);
    let long = format!("GET /?{} HTTP/1.1", "a".repeat(9000));
    assert_eq!(ask(&address, &long, "host: x\r\n", b"").status, 414);
    // who waits for a go-ahead gets it, or the refusal
    let mut waiting = TcpStream::connect(&address).unwrap();
    write!(waiting, "{POST}\r\nhost: x\r\nexpect: 100-continue\r\n{length}\r\n").unwrap();
    waiting.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut first = [0; 25];
    std::io::Read::read_exact(&mut waiting, &mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
}

#[test]
fn a_request_sent_before_the_last_answer_needs_a_length() {
    let workspace = packaged(400);
    let served = Served::start(&workspace, "--log-requests none");
    let address = host(&served.base).to_owned();
    let HouseRequest { house, length, chunks } = HouseRequest::new();
    // what stands beside transfer-encoding is not known there
    let pipelined = |lines: &str| {
        let first = format!("{POST}\r\nhost: x\r\n{length}\r\n{house}");
        exchange(&address, format!("{first}{POST}\r\nhost: x\r\nconnection: close\r\n{lines}\r\n").as_bytes()).text()
    };
    let refusal = "a pipelined request needs a content-length";
    for lines in ["transfer-encoding: chunked\r\n", "content-length: 5\r\ntransfer-encoding: chunked\r\n"] {
        let answers = pipelined(&format!("{lines}\r\n{chunks}"));
        assert!(answers.contains("HTTP/1.1 400") && answers.contains(refusal), "{answers}");
    }
    let answers = pipelined(&format!("{length}\r\n{house}"));
    assert!(answers.contains("HTTP/1.1 200"), "{answers}");
}

#[test]
fn nothing_that_a_client_sends_breaks_a_line_of_the_log() {
    let workspace = packaged(400);
    let served = Served::start(&workspace, "");
    let address = host(&served.base).to_owned();
    let method = "M".repeat(5000);
    let lines = "host: x\r\nx-request-id: a\"b\\c\r\ntraceparent: 00-\"-\"-01\r\nuser-agent: \"\r\n";
    assert_eq!(ask(&address, &format!("{method} /predict\"%0a HTTP/1.1"), lines, b"").status, 404);
    assert_eq!(ask(&address, &format!("{method} /predict HTTP/1.1"), lines, b"").status, 405);
    assert_eq!(ask(&address, "!#$%&'*+-.^_`|~ /predict HTTP/1.1", "host: x\r\n", b"").status, 405);
    assert!(served.metric("http_requests_total{handler=\"/predict\",method=\"other\",status=\"4xx\"}") >= 2.0);
    served.wait("the log", |served| served.log().contains("\"method\":\"!#$%&'*+-.^_`|~\""));
    for line in served.log().lines() {
        let reply: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(line.len() < 600 && reply["method"].as_str().is_none_or(|method| method.len() <= 32), "{line}");
    }
}

#[test]
fn bodies_in_gzip_are_decoded_within_the_limits() {
    let workspace = packaged(400);
    let served = Served::start(&workspace, "--max-body 300000 --max-stream 2000000 --log-requests none");
    let send = |path: &str, media_type: &str, body: Vec<u8>| {
        let response = served.request(path, media_type, body).header("content-encoding", "gzip").send().unwrap();
        (response.status().as_u16(), response.text().unwrap())
    };
    let (house, json_type) = (a_house().to_string(), "application/json");
    let list = format!("[{}]", vec![house.as_str(); 1000].join(","));
    let table = format!("sqft,location\n{}", "900,Rural\n".repeat(20_000));
    let lines = "{\"sqft\":900}\n".repeat(20_000);
    let infer = json!({"inputs": [{"name": "sqft", "shape": [1], "datatype": "FP64", "data": [900]}]}).to_string();
    let reply = served.post("/predict", &a_house()).1;
    let feedback = json!({"request_id": reply["request_id"], "actual": 200_000.0}).to_string();
    let (row_limit, list_limit, table_limit) = ("262144 bytes", "300000 bytes", "2000000 bytes");
    let blanks = " ".repeat(100);
    let long_table = format!("sqft,location\n{}", format!("900,Rural{blanks}\n").repeat(25_000));
    let long_lines = format!("{{\"sqft\":900{blanks}}}\n").repeat(25_000);
    for (path, media_type, text, too_much, limit) in [
        ("/predict", json_type, &house, " ".repeat(40_000_000), row_limit),
        ("/explain", json_type, &house, " ".repeat(262_145), row_limit),
        ("/feedback", json_type, &feedback, " ".repeat(16_385), "16384 bytes"),
        ("/batch-predict", json_type, &list, " ".repeat(300_001), list_limit),
        ("/v2/models/m/infer", json_type, &infer, " ".repeat(40_000_000), list_limit),
        ("/batch-predict", "text/csv", &table, long_table, table_limit),
        ("/batch-predict", "application/x-ndjson", &lines, long_lines, table_limit),
    ] {
        let plain = served.text(path, media_type, text.clone());
        let coded = send(path, media_type, gzip(text.as_bytes()));
        assert_eq!((plain.0, coded.0), (200, 200), "{path} {media_type}: {}", coded.1);
        let same = |text: &str| text.len().abs_diff(plain.1.len()) < 40;
        assert!(same(&coded.1), "{path} {media_type}");
        // small as it comes, and too large decoded
        let (status, text_of) = send(path, media_type, gzip(too_much.as_bytes()));
        assert_eq!(status, 413, "{path} {media_type}: {text_of}");
        assert!(text_of.contains(limit), "{path} {media_type}: {text_of}");
        let whole = gzip(text.as_bytes());
        for broken in [whole[..whole.len() - 4].to_vec(), text.clone().into_bytes(), [whole.clone(), b"x".to_vec()].concat()]
        {
            let (status, reply) = send(path, media_type, broken);
            assert_eq!(status, 400, "{path} {media_type}: {reply}");
            assert!(reply.contains("invalid or truncated gzip"), "{path} {media_type}: {reply}");
        }
    }
    assert!(served.memory() < 300 << 20, "{} bytes of memory", served.memory());
}
