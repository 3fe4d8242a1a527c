//! Run of the stage: check for unchanged inputs, scan, clean, check row counts, commit.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context;
use artifact::{FileEntry, FolderLocks, MANIFEST_VERSION, Manifest, lock_to_write, write_atomically};
use cli::{Clock, Outcome, Progress, Refused};
use schema::decimals;
use serde::{Deserialize, Serialize};

use crate::{
    clean::{CleanSummary, clean},
    config::Config,
    quarantine::{Reasons, most_frequent},
    report::{
        page,
        table::{ColumnLeak, Report, ReportInputs},
    },
    row_counts::RowCounts,
    scan::scan,
};

/// Name of the stage.
const STAGE: &str = "process";
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
struct Summary<'a> {
    stage: &'static str,
    status: &'static str,
    output: &'a Path,
    rows: &'a BTreeMap<String, u64>,
    suspected_leakage: Vec<String>,
}

/// Runs the stage.
///
/// # Errors
/// If the input cannot be read, an output cannot be written, or ([`Refused`]) the table is unfit for training.
pub fn run(config: &Config, progress: &Progress) -> anyhow::Result<Outcome> {
    let clock = Clock::start();
    if !config.input.exists() {
        return Err(table_io::FrameError::Missing { path: config.input.clone() }.into());
    }
    if !config.force
        && let Some(mut manifest) = Manifest::read_beside(&config.output).unwrap_or(None)
    {
        let input = FileEntry::from_file(&config.input)?;
        let outputs = [config.output.clone(), config.quarantine.clone(), config.report.clone(), config.page.clone()];
        if manifest.is_current(STAGE, VERSION, &config.settings, &[input], &outputs) {
            manifest.refresh_configs(std::slice::from_ref(&config.config_file))?;
            let leaks = written_leaks(config, progress)?;
            return Ok(summary_outcome(config, "unchanged", &manifest.rows, leaks));
        }
    }

    let (scan, input) = rayon::join(|| scan(config, progress), || FileEntry::from_file(&config.input));
    let (scan, input) = (scan?, input?);
    progress.detail(format!("{} rows read and validated after {} ms", scan.rows_in, clock.elapsed_ms()));
    let duplicate = scan.duplicates.finish().context("reading a temporary file")?;
    let (file, cleaned) = clean(config, &scan.store, &duplicate, progress)?;
    progress.detail(format!("{} rows written after {} ms", cleaned.train + cleaned.test, clock.elapsed_ms()));
    let balance = RowCounts {
        rows_in: scan.rows_in,
        rows_out: cleaned.train + cleaned.test,
        quarantined: scan.quarantine.rows(),
        duplicates: cleaned.duplicates,
        trimmed: cleaned.trimmed,
        without_target: scan.without_target,
        train: cleaned.train,
        test: cleaned.test,
    };
    balance.validate()?;
    let CleanSummary { bounds, profile, .. } = cleaned;
    let (quarantine_file, quarantine, reasons) = scan.quarantine.finish();
    if balance.quarantined as f64 > config.process.max_quarantined.0 * balance.rows_in as f64 {
        let _locks = lock_outputs(config, progress)?;
        let file = quarantine_file.commit_as(&config.failed_quarantine)?;
        return Err(too_many_invalid_rows(config, &balance, &reasons, &file.path).into());
    }
    reject_unfit_table(config, &balance)?;
    let report = Report::new(ReportInputs {
        input: &config.input,
        target: &config.schema.target().name,
        balance,
        quarantine,
        without_target_lines: scan.without_target_lines,
        bounds,
        profile: &profile,
    });
    let leaks = warn_of_leaks(report.leaks(), progress);

    let mut text = serde_json::to_string_pretty(&report)?;
    text.push('\n');
    let write_reports = || {
        let page = || write_atomically(&config.page, page::render(&report).as_bytes());
        rayon::join(|| write_atomically(&config.report, text.as_bytes()), page)
    };
    let _locks = lock_outputs(config, progress)?;
    let (table, (quarantine, (report_file, page))) =
        rayon::join(|| file.commit(), || rayon::join(|| quarantine_file.commit(), write_reports));
    let manifest = Manifest {
        format_version: MANIFEST_VERSION,
        stage: STAGE.into(),
        version: VERSION.into(),
        commit: cli::commit(),
        schema: config.schema.fingerprint(),
        settings: config.settings.clone(),
        configs: vec![config.config_file.clone()],
        inputs: vec![input],
        outputs: vec![table?, quarantine?, report_file?, page?],
        rows: counts_by_name(&balance),
        started_at_ms: clock.started_at_ms,
        duration_ms: clock.elapsed_ms(),
    };
    manifest.write_beside_outputs()?;
    Ok(summary_outcome(config, "done", &manifest.rows, leaks))
}

fn warn_of_leaks(leaks: &[ColumnLeak], progress: &Progress) -> Vec<String> {
    for leak in leaks {
        progress.warn(format!("{} may leak the target: {}", leak.column, leak.evidence));
    }
    leaks.iter().map(|leak| leak.column.clone()).collect()
}

/// The leakage findings of the existing report: an unchanged stage still warns.
fn written_leaks(config: &Config, progress: &Progress) -> anyhow::Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Written {
        suspected_leakage: Vec<ColumnLeak>,
    }
    let text = cli::read_text(&config.report, "--output")?;
    let written: Written = serde_json::from_str(&text).with_context(|| format!("{}", config.report.display()))?;
    Ok(warn_of_leaks(&written.suspected_leakage, progress))
}

/// Locks the folder of the outputs; waits for other programs.
fn lock_outputs(config: &Config, progress: &Progress) -> anyhow::Result<FolderLocks> {
    let folder = config.output.parent().unwrap_or(Path::new(""));
    Ok(lock_to_write(&[folder], &|folder| progress.waiting(folder))?)
}

/// The error for too many invalid rows, with reasons and remedies.
fn too_many_invalid_rows(config: &Config, balance: &RowCounts, reasons: &Reasons, file: &Path) -> Refused {
    let RowCounts { rows_in, quarantined, .. } = *balance;
    let (percent, limit) = (quarantined as f64 / rows_in as f64 * 100.0, config.process.max_quarantined.0 * 100.0);
    let shown = decimals(1, |round| round(percent) > round(limit));
    Refused(format!(
        "{}: {quarantined} of {rows_in} rows are invalid ({percent:.shown$} %, more than the limit of process.max_quarantined, \
         {limit:.shown$} %). The most frequent reasons:\n{}\nThe rows are in {}. No output was changed. Correct the table or the \
         configuration, or raise process.max_quarantined to remove these rows",
        config.input.display(),
        most_frequent(reasons),
        file.display()
    ))
}

/// Rejects a table without training or test rows; this is a failed check.
fn reject_unfit_table(config: &Config, balance: &RowCounts) -> Result<(), Refused> {
    let RowCounts { rows_out, .. } = *balance;
    let input = config.input.display();
    if rows_out < 2 {
        return Err(Refused(format!(
            "{input}: {rows_out} row(s) left after cleaning; at least one training row and one test row are needed. \
             Nothing was written. {}",
            balance_text(&counts_by_name(balance))
        )));
    }
    for (rows, side) in [(balance.train, "training"), (balance.test, "test")] {
        if rows == 0 {
            return Err(Refused(format!(
                "{input}: none of the {rows_out} rows left is a {side} row. Nothing was written. Add rows, or change \
                 process.split.test or process.split.seed"
            )));
        }
    }
    Ok(())
}

fn counts_by_name(balance: &RowCounts) -> BTreeMap<String, u64> {
    let RowCounts { rows_in, rows_out, quarantined, duplicates, trimmed, without_target, train, test } = *balance;
    [
        ("in", rows_in),
        ("out", rows_out),
        ("quarantined", quarantined),
        ("duplicates", duplicates),
        ("trimmed", trimmed),
        ("without_target", without_target),
        ("train", train),
        ("test", test),
    ]
    .map(|(name, count)| (name.to_owned(), count))
    .into()
}

fn balance_text(rows: &BTreeMap<String, u64>) -> String {
    let of = |name: &str| rows.get(name).copied().unwrap_or(0);
    format!(
        "{} rows in = {} out + {} quarantined + {} duplicates + {} trimmed + {} without target",
        of("in"),
        of("out"),
        of("quarantined"),
        of("duplicates"),
        of("trimmed"),
        of("without_target")
    )
}

fn summary_outcome(config: &Config, status: &'static str, rows: &BTreeMap<String, u64>, leaks: Vec<String>) -> Outcome {
    let data = Summary { stage: STAGE, status, output: &config.output, rows, suspected_leakage: leaks };
    let of = |name: &str| rows.get(name).copied().unwrap_or(0);
    let human = format!(
        "process   {status}: {}\n          {} training rows, {} test rows → {}",
        balance_text(rows),
        of("train"),
        of("test"),
        config.output.display()
    );
    Outcome::done(&data, human)
}
