//! What messages say of tables that are refused, or of which some rows are not read.

use testkit::Workspace;

use crate::{
    PROCESS,
    bad_inputs::{HEADER, rows},
};

/// The shares in a message differ as those that were compared do.
#[test]
fn shares_are_shown_with_the_digits_that_tell_them_apart() {
    let of = |bad: usize, all: usize| {
        let row = |number: usize| {
            let size = if number < bad { "abc" } else { "1500" };
            format!("{},{size},3,2,Urban,1990,Good", 300_000 + number)
        };
        let workspace = Workspace::new();
        workspace.write("raw.csv", format!("{HEADER}\n{}\n", (0..all).map(row).collect::<Vec<_>>().join("\n")));
        workspace.fails(1, PROCESS)
    };
    for (bad, all, shown) in [
        (
            501,
            10_000,
            "501 of 10000 rows are invalid (5.01 %, more than the limit of process.max_quarantined, 5.00 %). The most",
        ),
        (
            5001,
            100_000,
            "5001 of 100000 rows are invalid (5.001 %, more than the limit of process.max_quarantined, 5.000 %). The",
        ),
        (6, 100, "6 of 100 rows are invalid (6.0 %, more than the limit of process.max_quarantined, 5.0 %). The most"),
    ] {
        let stderr = of(bad, all);
        assert!(stderr.starts_with(&format!("error: raw.csv: {shown}")), "{stderr}");
    }
}

#[test]
fn init_says_which_rows_it_does_not_read() {
    let workspace = Workspace::new();
    let mut table = rows(|number| format!("{},1500,3,2,Urban,1990,Good", 300_000 + number)).into_bytes();
    table.extend(b"1,1500,3,2,K\xf6ln,1990,Good\n2,1500,3,2,M\xfcnchen,1990,Good\n3,1500\n");
    workspace.write("raw.csv", table);
    let run = workspace.run("process init --input raw.csv --target price --output new.yaml");
    assert_eq!(
        (run.code, run.stdout.lines().next().unwrap()),
        (0, "init      7 columns, 43 rows → new.yaml and new_model.yaml")
    );
    assert_eq!(
        run.stderr,
        "warning: raw.csv:42: column \"location\": the record is not UTF-8 text: its byte 13 is 0xF6; the file is probably Windows-1252 or \
         Latin-1; convert it: iconv -f WINDOWS-1252 -t UTF-8 OLD.csv > NEW.csv. 2 such row(s) are ignored here; `process` \
         quarantines them\nwarning: raw.csv:44: the record has 2 fields where the header has 7; put cells with commas in quotes. 1 such \
         row(s) are ignored here; `process` quarantines them\n"
    );
    // an empty file, as `mktemp` makes it, is replaced, and no other
    workspace.write("empty.yaml", "");
    workspace.ok("process init --input raw.csv --target price --output empty.yaml");
    assert_eq!(
        workspace.fails(2, "process init --input raw.csv --target price --output new.yaml"),
        "error: new.yaml: exists. Name another file, or replace it with --force\n"
    );
}
