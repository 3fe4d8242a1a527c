//! Rendering of an inferred configuration as YAML with comments.

use std::{ffi::OsStr, fmt::Write, path::Path};

use schema::ColumnType;

use crate::init::type_inference::{InferredColumn, plain};

/// The text of `pipeline.yaml`.
pub(super) fn pipeline(input: &Path, target: &str, rows: u64, guesses: &[InferredColumn]) -> String {
    let name = input.file_name().unwrap_or_default().to_string_lossy();
    let mut out = format!(
        "# Inferred from the {rows} rows of {name}. Review it before use. Every key is described in docs/pipeline_config.md.\n\n\
         table:\n  target: {}\n  columns:\n",
        scalar(target)
    );
    for infer_column in guesses {
        let mut keys = vec![format!("type: {}", infer_column.kind.name())];
        if let Some((min, max)) = infer_column.range {
            keys.push(format!("min: {}, max: {}", plain(min), plain(max)));
        }
        if let Some(format) = infer_column.format {
            keys.push(format!("format: {}", scalar(format)));
        }
        if !infer_column.levels.is_empty() {
            keys.push(format!("levels: {}", list(&infer_column.levels)));
        }
        if let Some(missing) = &infer_column.missing {
            keys.push(format!("missing: {}", list(missing)));
        }
        if !infer_column.notes.is_empty() {
            let _ = writeln!(out, "    # {}", infer_column.notes.join("; "));
        }
        let _ = writeln!(out, "    {}: {{{}}}", scalar(&infer_column.name), keys.join(", "));
    }
    let key = guesses.iter().find(|infer_column| infer_column.kind == ColumnType::Id);
    out.push_str("\nprocess:\n  split:\n    test: 0.2\n    seed: 42\n");
    if let Some(key) = key {
        let _ = writeln!(out, "    # rows with the same id are in the same split\n    key: {}", scalar(&key.name));
    }
    out.push_str(
        "\nengineer:\n  # new features, for example  house_age: reference_year - year_built  (and set reference_year)\n  derive: {}\n  \
         # a level never seen in training is not refused but falls into the bucket `other`\n  unknown_category: other\n",
    );
    out.push_str("\npackage:\n  # bounds on the test metrics, for example  r2: {min: 0.8}\n  gate: {}\n");
    out
}

/// The text of `model_config.yaml`.
pub(super) fn model(target: &str, stem: Option<&OsStr>) -> String {
    let name: String = stem
        .unwrap_or_default()
        .to_string_lossy()
        .chars()
        .map(|character| if character.is_alphanumeric() { character } else { '_' })
        .collect();
    format!(
        "# Every key is described in docs/model_config.md.\nmodel:\n  name: {}\n  best_model: GradientBoosting\n  parameters:\n    \
         n_estimators: 100\n    max_depth: 3\n    learning_rate: 0.1\n    random_state: 42\n  target_variable: {}\n",
        scalar(&format!("{name}_model")),
        scalar(target)
    )
}

fn list(items: &[String]) -> String {
    format!("[{}]", items.iter().map(|item| scalar(item)).collect::<Vec<_>>().join(", "))
}

/// Text in YAML: plain where that is safe, else quoted as JSON.
fn scalar(text: &str) -> String {
    let safe = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let word = text.chars().all(safe) && text.chars().next().is_some_and(|first| first.is_ascii_alphabetic());
    let keyword = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "na", "nan", "inf"];
    if word && !keyword.contains(&text.to_lowercase().as_str()) {
        text.to_owned()
    } else {
        serde_json::to_string(text).unwrap_or_default()
    }
}
