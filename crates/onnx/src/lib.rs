//! Export of preprocessor and model as one ONNX graph, from raw columns to the prediction.
//!
//! The graph has one input vector per raw column, in the order of the schema: `double` for numbers (NaN for missing), `string` for
//! categories and dates (empty for missing). Its output is a vector of `double` in the target's own unit, with the same values as
//! `features` and `model` up to the last digits. Invalid rows get NaN, because a graph cannot reject rows.
//!
//! Operators are those of ONNX 1.16, operator set 20 (for `RegexFullMatch`). ONNX Runtime supports them from version 1.17 on.

mod calendar;
mod columns;
mod expression;
mod graph;
mod proto;
mod regressor;
mod text;
mod trees;

use features::Preprocessor;
use model::Model;
use prost::Message;
use schema::{Column, ColumnType, UnknownCategory};
use thiserror::Error;

use graph::{Graph, Value};
use proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto};

/// Versions of ONNX's file format and of its operators.
const IR_VERSION: i64 = 9;
const OPERATOR_SET: i64 = 20;
/// Version of the machine learning operators: the first with trees in double precision.
const ML_OPERATOR_SET: i64 = 3;
/// Name of the output.
pub const OUTPUT: &str = "prediction";

/// A reason why a model cannot be exported to ONNX.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{0}")]
pub struct Unsupported(pub String);

/// An exported model.
#[derive(Clone, Debug)]
pub struct ExportedModel {
    /// Content of the ONNX file.
    pub bytes: Vec<u8>,
    /// Raw input columns, in order.
    pub columns: Vec<Column>,
}

/// Exports `preprocessor` and `model` as one graph.
///
/// # Errors
/// If a date format is not supported.
pub fn export(preprocessor: &Preprocessor, model: &Model) -> Result<ExportedModel, Unsupported> {
    let file = model.file();
    let raw: Vec<&str> = file.features.iter().flat_map(|feature| preprocessor.raw_columns(feature)).collect();
    let columns: Vec<Column> =
        preprocessor.columns().filter(|column| raw.contains(&column.name.as_str())).cloned().collect();
    if columns.is_empty() {
        return Err(Unsupported("the model reads no raw column".into()));
    }
    if columns.iter().any(|column| column.name == OUTPUT) {
        return Err(Unsupported(format!("a raw column has the name of the output, \"{OUTPUT}\"")));
    }
    let mut graph = Graph::default();
    let mut path = FeatureGraph { graph: &mut graph, inputs: Vec::new(), invalid: Vec::new(), blocks: Vec::new() };
    let encoded = path.read(preprocessor, &columns)?;
    path.impute(preprocessor, &file.features);
    for (names, features) in encoded {
        path.pick(&names, &features, &file.features);
    }
    let FeatureGraph { invalid, blocks, .. } = path;
    let features = ordered(&mut graph, blocks, &file.features);
    let prediction = regressor::regressor(&mut graph, &features, &file.regressor, file.features.len());
    let mut prediction = regressor::inverse_transform(&mut graph, prediction, file.target_transform);
    if let Some(invalid) = graph.any(invalid) {
        let nothing = graph.number(f64::NAN);
        prediction = graph.choose(&invalid, &nothing, &prediction);
    }
    let entry = |key: &str, value: &str| StringStringEntryProto { key: key.into(), value: value.into() };
    let bytes = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "house-price-predictor".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: format!("Predicts {} from the raw columns, with {}", file.target, file.algorithm),
        graph: Some(graph.finish(&prediction, OUTPUT)),
        opset_import: vec![
            OperatorSetIdProto { domain: String::new(), version: OPERATOR_SET },
            OperatorSetIdProto { domain: graph::ML_DOMAIN.into(), version: ML_OPERATOR_SET },
        ],
        metadata_props: vec![entry("schema", &file.schema), entry("target", &file.target)],
    };
    Ok(ExportedModel { bytes: bytes.encode_to_vec(), columns })
}

/// The features of a category: names and matrix.
type Category = (Vec<String>, Value);

/// The part of the graph from raw columns to features.
struct FeatureGraph<'a> {
    graph: &'a mut Graph,
    /// Numeric inputs, raw and derived, by name.
    inputs: Vec<(String, Value)>,
    /// Conditions under which a row is invalid.
    invalid: Vec<Value>,
    /// Groups of features with their matrices.
    blocks: Vec<(Vec<String>, Value)>,
}

impl FeatureGraph<'_> {
    /// Adds the raw columns and the derived features.
    fn read(&mut self, preprocessor: &Preprocessor, columns: &[Column]) -> Result<Vec<Category>, Unsupported> {
        let to_other = preprocessor.file().unknown == UnknownCategory::Other;
        let mut categories = Vec::new();
        for column in columns {
            if column.spec.kind == ColumnType::Category {
                let encoders = &preprocessor.file().categories;
                let Some(encoder) = encoders.iter().find(|encoder| encoder.column == column.name) else { continue };
                let columns::EncodedColumn { features, invalid } = columns::category(self.graph, column, encoder, to_other);
                self.invalid.push(invalid);
                categories.push((encoder.names(), features));
            } else {
                let read = match column.spec.kind {
                    ColumnType::Date => columns::date(self.graph, column)?,
                    _ => columns::number(self.graph, column),
                };
                self.invalid.extend(read.invalid);
                self.inputs.push((column.name.clone(), read.numbers));
            }
        }
        // programs refer to inputs by index; unused ones, and features that depend on them, are missing
        let mut values: Vec<Value> = Vec::new();
        let mut derived = Vec::new();
        for (name, program) in preprocessor.inputs() {
            let value = match program {
                None => self.inputs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()),
                Some(program) => {
                    let needed = preprocessor.raw_columns(name);
                    let there = needed.iter().all(|raw| columns.iter().any(|column| column.name == **raw));
                    let value = there.then(|| expression::run(self.graph, program, &values));
                    // an expression with constants only
                    value.map(|value| if needed.is_empty() { self.graph.in_every_row(&value) } else { value })
                }
            };
            if let (Some(value), Some(_)) = (&value, program) {
                derived.push((name.to_owned(), value.clone()));
            }
            values.push(value.unwrap_or_else(|| self.graph.number(f64::NAN)));
        }
        self.inputs.extend(derived);
        Ok(categories)
    }

    /// The imputed numeric features of the model.
    fn impute(&mut self, preprocessor: &Preprocessor, wanted: &[String]) {
        for feature in preprocessor.file().numbers.iter().filter(|feature| wanted.contains(&feature.name)) {
            let Some((_, value)) = self.inputs.iter().find(|(name, _)| *name == feature.name) else { continue };
            let (missing, fill) = (self.graph.op("IsNaN", &[value]), self.graph.number(feature.fill));
            let value = self.graph.choose(&missing, &fill, value);
            let axis = self.graph.integers(&[1]);
            let upright = self.graph.op("Unsqueeze", &[&value, &axis]);
            self.blocks.push((vec![feature.name.clone()], upright));
        }
    }

    /// The features of a category that the model uses.
    fn pick(&mut self, names: &[String], features: &Value, wanted: &[String]) {
        let kept: Vec<usize> = (0..names.len()).filter(|place| wanted.contains(&names[*place])).collect();
        if kept.is_empty() {
            return;
        }
        let block = if kept.len() == names.len() {
            features.clone()
        } else {
            let places: Vec<i64> = kept.iter().map(|place| *place as i64).collect();
            let places = self.graph.integers(&places);
            self.graph.op_with("Gather", &[features, &places], "axis", 1)
        };
        self.blocks.push((kept.iter().map(|place| names[*place].clone()).collect(), block));
    }
}

/// The matrix of all features in the order of the model.
fn ordered(graph: &mut Graph, blocks: Vec<(Vec<String>, Value)>, wanted: &[String]) -> Value {
    let names: Vec<&String> = blocks.iter().flat_map(|(names, _)| names).collect();
    let values: Vec<&Value> = blocks.iter().map(|(_, value)| value).collect();
    let all = graph.op_with("Concat", &values, "axis", 1);
    if names.iter().copied().eq(wanted) {
        return all;
    }
    let place = |feature: &String| names.iter().position(|name| *name == feature).unwrap_or_default() as i64;
    let places: Vec<i64> = wanted.iter().map(place).collect();
    let places = graph.integers(&places);
    graph.op_with("Gather", &[&all, &places], "axis", 1)
}
