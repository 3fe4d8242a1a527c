//! The model for MLflow: everything that opens it elsewhere, in one folder.
//!
//! ```text
//! MLmodel                 flavors, signature, where it came from
//! model.bin, preprocessor.bin, reference.json   what this project opens (flavor `house_price_predictor`)
//! onnx/model.onnx         the whole path from raw columns to the prediction (flavor `onnx`)
//! onnx/columns.json       what the raw columns are
//! code/raw_columns_onnx.py      brings a table of pandas into the form that the graph takes (flavor `python_function`)
//! input_example.json, serving_input_example.json, requirements.txt, python_env.yaml
//! ```

use artifact::{FileEntry, RunRecord};
use features::Preprocessor;
use model::{METRIC_NAMES, Model, figure};
use onnx::Exported;
use schema::{Column, ColumnType};
use serde_json::{Value, json};
use tracking::{ArtifactContent, CHALLENGER, LoggedModel, MLMODEL_FILE, Registration, Run, RunFile};

use crate::{config::Config, inputs::lineage::Lineage, tracking::mlflow_run};

/// The flavor that this project opens.
const FLAVOR: &str = "house_price_predictor";
/// The version of MLflow whose layout it is.
const MLFLOW: &str = "3.0.0";
const PYTHON: &str = "3.11";
const LOADER: &str = "raw_columns_onnx";
const LOADER_CODE: &str = include_str!("logged_model/raw_columns_onnx.py");
/// The oldest that reads the graph.
const REQUIREMENTS: &str = "mlflow>=3.0\nnumpy\nonnx>=1.16\nonnxruntime>=1.17\npandas\n";
const ENVIRONMENT: &str =
    "python: \"3.11\"\nbuild_dependencies:\n- pip\n- setuptools\n- wheel\ndependencies:\n- -r requirements.txt\n";
/// The tag of a logged model that says whether it can be opened as ONNX, or why not.
const ONNX_TAG: &str = "onnx";
/// The tag of a version that stands for how rows were cleaned and divided.
pub(crate) const SPLIT_TAG: &str = "process_settings";
/// Digits of a digest that stand for it in a tag.
const DIGITS: usize = 16;

/// What is made into a logged model.
pub(crate) struct Made<'a> {
    pub(crate) model: &'a Model,
    pub(crate) preprocessor: &'a Preprocessor,
    pub(crate) model_file: &'a FileEntry,
    pub(crate) preprocessor_file: &'a FileEntry,
    pub(crate) reference_file: &'a FileEntry,
    pub(crate) lineage: &'a Lineage,
}

/// Adds the model to `run`, and its registration if that was asked for; returns its files, and what could not be written.
pub(crate) fn add(config: &Config, run: &mut Run, record: &RunRecord, made: &Made) -> (Vec<RunFile>, Option<String>) {
    // a run that is recorded again has the same model; one that was gone on with may have several
    let model_id =
        if config.resumed.is_some() { tracking::new_model_id() } else { tracking::logged_model_id(&record.identity.run_id) };
    let created = run.end_time.unwrap_or(run.start_time);
    let mut tags = record.tags.clone();
    let (exported, warning) = match onnx::export(made.preprocessor, made.model) {
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
    let own = |place: &str, entry: &FileEntry| RunFile::of_model(&model_id, place, ArtifactContent::File(entry.clone()));
    let mut files = vec![
        own("model.bin", made.model_file),
        own("preprocessor.bin", made.preprocessor_file),
        own("reference.json", made.reference_file),
    ];
    let mlmodel = mlmodel(record, made, exported.as_ref());
    files.push(file(MLMODEL_FILE, serde_yaml::to_string(&mlmodel).unwrap_or_default().into_bytes()));
    if let Some(exported) = exported {
        let example = example(&exported.columns, made);
        files.push(file("onnx/columns.json", columns(&exported.columns).to_string().into_bytes()));
        files.push(file("onnx/model.onnx", exported.bytes));
        files.push(file(&format!("code/{LOADER}.py"), LOADER_CODE.as_bytes().to_vec()));
        files.push(file("input_example.json", example.to_string().into_bytes()));
        files.push(file("serving_input_example.json", json!({ "dataframe_split": example }).to_string().into_bytes()));
        files.push(file("requirements.txt", REQUIREMENTS.as_bytes().to_vec()));
        files.push(file("python_env.yaml", ENVIRONMENT.as_bytes().to_vec()));
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
            tags: facts(record, made),
            aliases: vec![CHALLENGER.into()],
            created,
        });
    }
    (files, warning)
}

/// A version in a sentence, for lists, and in figures.
fn description(record: &RunRecord) -> String {
    let of = |key: &str| record.metric(key).map_or("–".to_owned(), |value| figure(key, value));
    let rows = record.rows(schema::TEST);
    let algorithm = record.tags.get("algorithm").map_or("a model", String::as_str);
    format!("{algorithm}: R² {}, MAE {} on {rows} test rows.\n\n{}", of("r2"), of("mae"), record.note)
}

/// Facts on a version, to search by and to decide by.
fn facts(record: &RunRecord, made: &Made) -> std::collections::BTreeMap<String, String> {
    let mut facts = record.tags.clone();
    facts.insert("run_name".into(), record.identity.run_name.clone());
    for name in METRIC_NAMES {
        for key in [name.to_owned(), format!("cv_{name}")] {
            if let Some(value) = record.metric(&key) {
                facts.insert(key, value.to_string());
            }
        }
        if let Some(interval) = record.intervals.get(name) {
            facts.insert(format!("{name}_95"), format!("{} to {}", interval.low, interval.high));
        }
    }
    for input in &record.datasets {
        facts.insert(format!("{}_rows", input.context), input.rows.to_string());
        facts.insert("data".into(), input.source.digest.hex().chars().take(DIGITS).collect());
        facts.insert("schema".into(), input.schema.clone());
    }
    if let Some(process) = &made.lineage.process {
        facts.insert(SPLIT_TAG.into(), process.settings.hex().chars().take(DIGITS).collect());
    }
    facts
}

fn mlmodel(record: &RunRecord, made: &Made, exported: Option<&Exported>) -> Value {
    let native = json!({
        "model": "model.bin",
        "preprocessor": "preprocessor.bin",
        "version": env!("CARGO_PKG_VERSION"),
    });
    let mut mlmodel = json!({
        "flavors": {FLAVOR: native},
        "mlflow_version": MLFLOW,
        "model_size_bytes": made.model_file.bytes + made.preprocessor_file.bytes
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
        "loader_module": LOADER,
        "python_version": PYTHON,
    });
    // `any`: pandas makes whole numbers of a column that has no gap, and MLflow takes none of them for a double
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

/// What the raw columns are, for whoever calls the model.
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

/// A typical row, made of what takes the place of missing values, or else of means, and one in which all is missing that may be.
fn example(columns: &[Column], made: &Made) -> Value {
    let (file, model) = (made.preprocessor.file(), made.model.file());
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
    let sparse = |column: &Column| if column.spec.required { typical(column) } else { Value::Null };
    let row = |of: &dyn Fn(&Column) -> Value| columns.iter().map(of).collect::<Vec<Value>>();
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    json!({"columns": names, "data": [row(&typical), row(&sparse)]})
}
