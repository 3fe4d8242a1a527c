//! What messages say of tables that are refused, or of which some rows are not read.

use testkit::Workspace;

use crate::{
    PROCESS,
    bad_inputs::{HEADER, rows},
    snapshot::{Transcript, assert_text},
};

/// The shares in a message differ as those that were compared do.
#[test]
fn shares_are_shown_with_the_digits_that_tell_them_apart() {
    let mut transcript = Transcript::default();
    for (bad, all) in [(501, 10_000), (5001, 100_000), (6, 100)] {
        let row = |number: usize| {
            let size = if number < bad { "abc" } else { "1500" };
            format!("{},{size},3,2,Urban,1990,Good", 300_000 + number)
        };
        let workspace = Workspace::new();
        workspace.write("raw.csv", format!("{HEADER}\n{}\n", (0..all).map(row).collect::<Vec<_>>().join("\n")));
        assert_eq!(transcript.run(&workspace, PROCESS).code, 1);
    }
    assert_text!(transcript.text);
}

#[test]
fn init_says_which_rows_it_does_not_read() {
    let workspace = Workspace::new();
    let mut table = rows(|number| format!("{},1500,3,2,Urban,1990,Good", 300_000 + number)).into_bytes();
    table.extend(b"1,1500,3,2,K\xf6ln,1990,Good\n2,1500,3,2,M\xfcnchen,1990,Good\n3,1500\n");
    workspace.write("raw.csv", table);
    let mut transcript = Transcript::default();
    let init = "process init --input raw.csv --target price --output";
    assert_eq!(transcript.run(&workspace, &format!("{init} new.yaml")).code, 0);
    // an empty file, as `mktemp` makes it, is replaced, and no other
    workspace.write("empty.yaml", "");
    workspace.ok(&format!("{init} empty.yaml"));
    assert_eq!(transcript.run(&workspace, &format!("{init} new.yaml")).code, 2);
    transcript.note(&format!("new.yaml:\n{}", workspace.read("new.yaml")));
    transcript.note(&format!("new_model.yaml:\n{}", workspace.read("new_model.yaml")));
    assert_text!(transcript.text);
}
