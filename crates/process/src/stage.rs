//! The stage as a whole: up to date? else scan, clean, balance, commit.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context;
use artifact::{FileEntry, FolderLocks, MANIFEST_VERSION, Manifest, lock_to_write, write_atomically};
use cli::{Clock, Outcome, Progress, Refused};
use schema::decimals;
use serde::{Deserialize, Serialize};

use crate::{
    clean::{Cleaned, clean},
    config::Config,
    quarantine::{Reasons, most_frequent},
    report::{
        page,
        table::{Findings, Leak, Report},
    },
    row_counts::Balance,
    scan::scan,
};

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
/// If the input cannot be read, nothing can be written, or ([`Refused`]) the table is not fit for training.
pub fn run(config: &Config, progress: &Progress) -> anyhow::Result<Outcome> {
    let clock = Clock::start();
    if !config.input.exists() {
        return Err(frame::FrameError::Missing { path: config.input.clone() }.into());
    }
    if !config.force
        && let Some(mut manifest) = Manifest::read_beside(&config.output).unwrap_or(None)
    {
        let input = FileEntry::from_file(&config.input)?;
        let outputs = [config.output.clone(), config.quarantine.clone(), config.report.clone(), config.page.clone()];
        if manifest.is_current(STAGE, VERSION, &config.settings, &[input], &outputs) {
            manifest.refresh_configs(std::slice::from_ref(&config.config_file))?;
            let leaks = written_leaks(config, progress)?;
            return Ok(summarise(config, "unchanged", &manifest.rows, leaks));
        }
    }

    let (scan, input) = rayon::join(|| scan(config, progress), || FileEntry::from_file(&config.input));
    let (scan, input) = (scan?, input?);
    progress.detail(format!("{} rows read and judged after {} ms", scan.rows_in, clock.elapsed_ms()));
    let duplicate = scan.duplicates.finish().context("reading a temporary file")?;
    let (file, cleaned) = clean(config, &scan.store, &duplicate, progress)?;
    progress.detail(format!("{} rows written after {} ms", cleaned.train + cleaned.test, clock.elapsed_ms()));
    let balance = Balance {
        rows_in: scan.rows_in,
        rows_out: cleaned.train + cleaned.test,
        quarantined: scan.quarantine.rows(),
        duplicates: cleaned.duplicates,
        trimmed: cleaned.trimmed,
        without_target: scan.without_target,
        train: cleaned.train,
        test: cleaned.test,
    };
    balance.check()?;
    let Cleaned { fences, profile, .. } = cleaned;
    let (quarantine_file, quarantine, reasons) = scan.quarantine.finish();
    if balance.quarantined as f64 > config.process.max_quarantined.0 * balance.rows_in as f64 {
        let _locks = lock_outputs(config, progress)?;
        let file = quarantine_file.commit_as(&config.failed_quarantine)?;
        return Err(too_many_invalid_rows(config, &balance, &reasons, &file.path).into());
    }
    refuse_unfit(config, &balance)?;
    let report = Report::new(Findings {
        input: &config.input,
        target: &config.schema.target().name,
        balance,
        quarantine,
        without_target_lines: scan.without_target_lines,
        fences,
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
        rows: row_counts(&balance),
        started_at_ms: clock.started_at_ms,
        duration_ms: clock.elapsed_ms(),
    };
    manifest.write_beside_outputs()?;
    Ok(summarise(config, "done", &manifest.rows, leaks))
}

fn warn_of_leaks(leaks: &[Leak], progress: &Progress) -> Vec<String> {
    for leak in leaks {
        progress.warn(format!("{} may leak the target: {}", leak.column, leak.evidence));
    }
    leaks.iter().map(|leak| leak.column.clone()).collect()
}

/// The suspicions in the report that is there already: a stage that has nothing to do still warns.
fn written_leaks(config: &Config, progress: &Progress) -> anyhow::Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Written {
        suspected_leakage: Vec<Leak>,
    }
    let text = cli::read_text(&config.report, "--output")?;
    let written: Written = serde_json::from_str(&text).with_context(|| format!("{}", config.report.display()))?;
    Ok(warn_of_leaks(&written.suspected_leakage, progress))
}

/// Waits until no other program holds the folder of the outputs, and holds it.
fn lock_outputs(config: &Config, progress: &Progress) -> anyhow::Result<FolderLocks> {
    let folder = config.output.parent().unwrap_or(Path::new(""));
    Ok(lock_to_write(&[folder], &|folder| progress.waiting(folder))?)
}

/// More rows break the schema than the configuration allows: why, and what to do.
fn too_many_invalid_rows(config: &Config, balance: &Balance, reasons: &Reasons, file: &Path) -> Refused {
    let Balance { rows_in, quarantined, .. } = *balance;
    let (percent, limit) = (quarantined as f64 / rows_in as f64 * 100.0, config.process.max_quarantined.0 * 100.0);
    let shown = decimals(1, |round| round(percent) > round(limit));
    Refused(format!(
        "{}: {quarantined} of {rows_in} rows break the schema ({percent:.shown$} %, more than process.max_quarantined allows: \
         {limit:.shown$} %). The most frequent reasons:\n{}\nThe rows are in {}. No output was changed. Correct the table or the \
         configuration, or raise process.max_quarantined to leave these rows out",
        config.input.display(),
        most_frequent(reasons),
        file.display()
    ))
}

/// A table that cannot be learned from is an answer, not an accident.
fn refuse_unfit(config: &Config, balance: &Balance) -> Result<(), Refused> {
    let Balance { rows_out, .. } = *balance;
    let input = config.input.display();
    if rows_out < 2 {
        return Err(Refused(format!(
            "{input}: {rows_out} row(s) left after cleaning, and at least one to train on and one to test on are needed. \
             Nothing was written. {}",
            balance_text(&row_counts(balance))
        )));
    }
    for (rows, side) in [(balance.train, "train"), (balance.test, "test")] {
        if rows == 0 {
            return Err(Refused(format!(
                "{input}: of {rows_out} rows left none is for {side}ing. Nothing was written. Add rows, or change \
                 process.split.test or process.split.seed"
            )));
        }
    }
    Ok(())
}

fn row_counts(balance: &Balance) -> BTreeMap<String, u64> {
    let Balance { rows_in, rows_out, quarantined, duplicates, trimmed, without_target, train, test } = *balance;
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

fn summarise(config: &Config, status: &'static str, rows: &BTreeMap<String, u64>, leaks: Vec<String>) -> Outcome {
    let data = Summary { stage: STAGE, status, output: &config.output, rows, suspected_leakage: leaks };
    let of = |name: &str| rows.get(name).copied().unwrap_or(0);
    let human = format!(
        "process   {status}: {}\n          {} to train on, {} to test on → {}",
        balance_text(rows),
        of("train"),
        of("test"),
        config.output.display()
    );
    Outcome::done(&data, human)
}
