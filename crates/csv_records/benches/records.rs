//! The scanner of CSV text: records of numbers, and records with quoted fields. Run `just kernels`.

use csv_records::{CsvReader, fields};
use divan::{Bencher, counter::BytesCount};

fn main() {
    divan::main();
}

/// A table of 4 MB.
fn table(record: &str) -> Vec<u8> {
    let records = (4 << 20) / record.len();
    format!("a,b,c,d,e\n{}", record.repeat(records)).into_bytes()
}

fn scan(bencher: Bencher, record: &str) {
    let text = table(record);
    bencher.counter(BytesCount::new(text.len())).bench(|| {
        let mut reader = CsvReader::open(text.as_slice()).expect("a header");
        let mut rows = 0;
        while let Some(block) = reader.next_block().expect("records") {
            rows += block.rows();
        }
        rows
    });
}

#[divan::bench]
fn scan_numbers(bencher: Bencher) {
    scan(bencher, "177000.5,2045,3,2.5,1967\n");
}

#[divan::bench]
fn scan_quoted_fields(bencher: Bencher) {
    scan(bencher, "177000.5,\"Main Street 4, \"\"B\"\"\",3,\"two\nlines\",1967\n");
}

#[divan::bench]
fn split_record(bencher: Bencher) {
    let record = "177000.5,2045,\"Main Street, 4\",Rural,1967";
    bencher.counter(BytesCount::new(record.len())).bench(|| fields(divan::black_box(record)).len());
}
