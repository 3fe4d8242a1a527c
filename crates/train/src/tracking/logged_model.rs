//! The model for MLflow: one folder with everything that other programs need to load it.
//!
//! ```text
//! MLmodel                 flavors, signature, origin
//! model.bin, preprocessor.bin, reference.json   the files that this project loads (flavor `house_price_predictor`)
//! onnx/model.onnx         the whole path from raw columns to the prediction (flavor `onnx`)
//! onnx/columns.json       types and levels of the raw columns
//! code/raw_columns_onnx.py      converts a pandas table to the inputs of the graph (flavor `python_function`)
//! input_example.json, serving_input_example.json, requirements.txt, python_env.yaml
//! ```

use artifact::{FileEntry, RunRecord};
use features::Preprocessor;
use model::{METRIC_NAMES, Model, format_metric};
use onnx::ExportedModel;
use schema::{Column, ColumnType};
use serde_json::{Value, json};
use tracking::{ArtifactContent, CHALLENGER, LoggedModel, MLMODEL_FILE, Registration, Run, RunFile};

use crate::{config::Config, inputs::lineage::InputLineage, tracking::mlflow_run};

/// The flavor that this project loads.
const FLAVOR: &str = "house_price_predictor";
/// The version of MLflow that defines the layout.
const MLFLOW_VERSION: &str = "3.0.0";
const PYTHON_VERSION: &str = "3.11";
const LOADER_MODULE: &str = "raw_columns_onnx";
const LOADER_CODE: &str = include_str!("logged_model/raw_columns_onnx.py");
/// The oldest versions that read the graph.
const REQUIREMENTS: &str = "mlflow>=3.0\nnumpy\nonnx>=1.16\nonnxruntime>=1.17\npandas\n";
const PYTHON_ENVIRONMENT: &str =
    "python: \"3.11\"\nbuild_dependencies:\n- pip\n- setuptools\n- wheel\ndependencies:\n- -r requirements.txt\n";
/// The tag of a logged model that says whether it has an ONNX graph, or why not.
const ONNX_TAG: &str = "onnx";
/// The tag of a version that identifies the settings by which rows were cleaned and split.
pub(crate) const SPLIT_TAG: &str = "process_settings";
/// Digits of a digest in a tag.
const DIGEST_DIGITS: usize = 16;

/// The parts of a logged model.
pub(crate) struct TrainedArtifacts<'a> {
    pub(crate) model: &'a Model,
    pub(crate) preprocessor: &'a Preprocessor,
    pub(crate) model_file: &'a FileEntry,
    pub(crate) preprocessor_file: &'a FileEntry,
    pub(crate) reference_file: &'a FileEntry,
    pub(crate) lineage: &'a InputLineage,
}

/// Adds the model to `run`, and its registration if the configuration asks for one. Returns the files of the model, and a warning if it
/// has no ONNX graph.
pub(crate) fn add(
    config: &Config,
    run: &mut Run,
    record: &RunRecord,
    artifacts: &TrainedArtifacts,
) -> (Vec<RunFile>, Option<String>) {
    // a run that is recorded again has the same model; a resumed run may have several
    let model_id =
        if config.resumed.is_some() { tracking::new_model_id() } else { tracking::logged_model_id(&record.identity.run_id) };
    let created = run.end_time.unwrap_or(run.start_time);
    let mut tags = record.tags.clone();
    let (exported, warning) = match onnx::export(artifacts.preprocessor, artifacts.model) {
        Ok(exported) => {
            tags.insert(ONNX_TAG.into(), "raw columns to prediction".into());
            (Some(exported), None)
        }
        Err(unsupported) => {
            tags.insert(ONNX_TAG.into(), format!("none: {unsupported}"));
            let warning = format!("the model is logged without ONNX, so Python cannot load it: {unsupported}");
            (None, Some(warning))
        }
    };
    let file = |place: &str, bytes: Vec<u8>| RunFile::of_model(&model_id, place, ArtifactContent::Bytes(bytes));
    let stored_file =
        |place: &str, entry: &FileEntry| RunFile::of_model(&model_id, place, ArtifactContent::File(entry.clone()));
    let mut files = vec![
        stored_file("model.bin", artifacts.model_file),
        stored_file("preprocessor.bin", artifacts.preprocessor_file),
        stored_file("reference.json", artifacts.reference_file),
    ];
    let mlmodel = mlmodel(record, artifacts, exported.as_ref());
    files.push(file(MLMODEL_FILE, serde_yaml::to_string(&mlmodel).unwrap_or_default().into_bytes()));
    if let Some(exported) = exported {
        let input_example = input_example(&exported.columns, artifacts);
        files.push(file("onnx/columns.json", columns(&exported.columns).to_string().into_bytes()));
        files.push(file("onnx/model.onnx", exported.bytes));
        files.push(file(&format!("code/{LOADER_MODULE}.py"), LOADER_CODE.as_bytes().to_vec()));
        files.push(file("input_example.json", input_example.to_string().into_bytes()));
        files.push(file("serving_input_example.json", json!({ "dataframe_split": input_example }).to_string().into_bytes()));
        files.push(file("requirements.txt", REQUIREMENTS.as_bytes().to_vec()));
        files.push(file("python_env.yaml", PYTHON_ENVIRONMENT.as_bytes().to_vec()));
    }
    mlflow_run::link(run, &model_id);
    run.models.push(LoggedModel {
        model_id: model_id.clone(),
        name: record.name.clone(),
        model_type: "regressor".into(),
        step: 0,
        created,
        ready: true,
        params: run.params.clone(),
        tags,
    });
    if config.register {
        run.registrations.push(Registration {
            name: record.name.clone(),
            model_id,
            description: description(record),
            tags: version_tags(record, artifacts),
            aliases: vec![CHALLENGER.into()],
            created,
        });
    }
    (files, warning)
}

/// The description of a version: a sentence for lists, then its metrics.
fn description(record: &RunRecord) -> String {
    let metric = |key: &str| record.metric(key).map_or("–".to_owned(), |value| format_metric(key, value));
    let rows = record.rows(schema::TEST);
    let algorithm = record.tags.get("algorithm").map_or("a model", String::as_str);
    format!("{algorithm}: R² {}, MAE {} on {rows} test rows.\n\n{}", metric("r2"), metric("mae"), record.note)
}

/// The tags of a version: searched in MLflow, and compared by the gate of `train promote`.
fn version_tags(record: &RunRecord, artifacts: &TrainedArtifacts) -> std::collections::BTreeMap<String, String> {
    let mut version_tags = record.tags.clone();
    version_tags.insert("run_name".into(), record.identity.run_name.clone());
    for name in METRIC_NAMES {
        for key in [name.to_owned(), format!("cv_{name}")] {
            if let Some(value) = record.metric(&key) {
                version_tags.insert(key, value.to_string());
            }
        }
        if let Some(interval) = record.intervals.get(name) {
            version_tags.insert(format!("{name}_95"), format!("{} to {}", interval.low, interval.high));
        }
    }
    for input in &record.datasets {
        version_tags.insert(format!("{}_rows", input.context), input.rows.to_string());
        version_tags.insert("data".into(), input.source.digest.hex().chars().take(DIGEST_DIGITS).collect());
        version_tags.insert("schema".into(), input.schema.clone());
    }
    if let Some(process) = &artifacts.lineage.process {
        version_tags.insert(SPLIT_TAG.into(), process.settings.hex().chars().take(DIGEST_DIGITS).collect());
    }
    version_tags
}

fn mlmodel(record: &RunRecord, artifacts: &TrainedArtifacts, exported: Option<&ExportedModel>) -> Value {
    let native = json!({
        "model": "model.bin",
        "preprocessor": "preprocessor.bin",
        "version": env!("CARGO_PKG_VERSION"),
    });
    let mut mlmodel = json!({
        "flavors": {FLAVOR: native},
        "mlflow_version": MLFLOW_VERSION,
        "model_size_bytes": artifacts.model_file.bytes + artifacts.preprocessor_file.bytes
            + exported.map_or(0, |exported| exported.bytes.len() as u64),
        "utc_time_created": format!("{}.000000", cli::utc(record.times.ended_at_ms.cast_signed())),
    });
    let Some(exported) = exported else { return mlmodel };
    mlmodel["flavors"]["onnx"] = json!({
        "code": "code",
        "data": "onnx/model.onnx",
        "onnx_version": "1.16.0",
        "providers": ["CPUExecutionProvider"],
    });
    mlmodel["flavors"]["python_function"] = json!({
        "code": "code",
        "data": "onnx",
        "env": {"virtualenv": "python_env.yaml"},
        "loader_module": LOADER_MODULE,
        "python_version": PYTHON_VERSION,
    });
    // `any`: pandas reads a column without missing values as integers, which MLflow rejects for a double
    let inputs: Vec<Value> =
        exported.columns.iter().map(|column| json!({"type": "any", "name": column.name, "required": true})).collect();
    let outputs = json!([{"type": "double", "name": onnx::OUTPUT, "required": true}]);
    mlmodel["signature"] =
        json!({"inputs": json!(inputs).to_string(), "outputs": outputs.to_string(), "params": Value::Null});
    mlmodel["metadata"] = json!({"columns": columns(&exported.columns)});
    mlmodel["saved_input_example_info"] = json!({
        "artifact_path": "input_example.json",
        "pandas_orient": "split",
        "serving_input_path": "serving_input_example.json",
        "type": "dataframe",
    });
    mlmodel
}

/// Types, bounds and levels of the raw columns, for callers of the model.
fn columns(columns: &[Column]) -> Value {
    let column = |column: &Column| {
        let mut described = json!({"name": column.name, "type": column.spec.kind.name(), "missing": column.missing()});
        for (key, bound) in [("min", column.spec.min), ("max", column.spec.max)] {
            if let Some(bound) = bound {
                described[key] = bound.into();
            }
        }
        if !column.spec.levels.is_empty() {
            described["levels"] = json!(column.spec.levels);
        }
        if column.spec.kind == ColumnType::Date {
            described["format"] = column.date_format().into();
        }
        described
    };
    columns.iter().map(column).collect()
}

/// Two rows: a typical one with the imputed values, or the means, and one without all optional values.
fn input_example(columns: &[Column], artifacts: &TrainedArtifacts) -> Value {
    let (file, model) = (artifacts.preprocessor.file(), artifacts.model.file());
    let mean =
        |name: &str| model.features.iter().position(|feature| feature == name).and_then(|place| model.means.get(place));
    let typical = |column: &Column| -> Value {
        match column.spec.kind {
            ColumnType::Category => {
                let encoder = file.categories.iter().find(|encoder| encoder.column == column.name);
                encoder
                    .and_then(|encoder| encoder.levels.get(encoder.fill as usize))
                    .map_or(Value::Null, |level| json!(level))
            }
            ColumnType::Date => json!("2000-01-01"),
            _ => {
                let known = file.numbers.iter().find(|feature| feature.name == column.name);
                let usual = known.map(|feature| feature.fill).filter(|fill| fill.is_finite());
                let (min, max) = (column.spec.min.unwrap_or(f64::MIN), column.spec.max.unwrap_or(f64::MAX));
                let value = usual.or_else(|| mean(&column.name).copied()).unwrap_or(1.0).clamp(min, max);
                json!(if column.spec.kind == ColumnType::Integer { value.round() } else { value })
            }
        }
    };
    let with_missing = |column: &Column| if column.spec.required { typical(column) } else { Value::Null };
    let row = |of: &dyn Fn(&Column) -> Value| columns.iter().map(of).collect::<Vec<Value>>();
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    json!({"columns": names, "data": [row(&typical), row(&with_missing)]})
}
