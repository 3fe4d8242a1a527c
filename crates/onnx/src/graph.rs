//! A builder of ONNX graphs.

use std::collections::BTreeMap;

use crate::proto::{
    AttributeProto, DimensionProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto, attribute_type, data_type,
};

/// Name of the first dimension of inputs and outputs: the rows.
const ROWS: &str = "rows";

/// Domain of machine learning operators.
pub(crate) const ML_DOMAIN: &str = "ai.onnx.ml";

/// Prefix of all names except those of inputs; names of columns have no backtick.
const RESERVED_PREFIX: char = '`';

/// A value in the graph.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Value(String);

/// A graph over columns. Values are vectors with one entry per row unless stated otherwise.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    proto: GraphProto,
    constants: BTreeMap<String, Value>,
}

impl Graph {
    /// An input column of numbers.
    pub(crate) fn numbers(&mut self, name: &str) -> Value {
        self.input(name, data_type::DOUBLE)
    }

    /// An input column of text.
    pub(crate) fn texts(&mut self, name: &str) -> Value {
        self.input(name, data_type::STRING)
    }

    fn input(&mut self, name: &str, elements: i32) -> Value {
        self.proto.input.push(column(name, elements));
        Value(name.to_owned())
    }

    /// A number.
    pub(crate) fn number(&mut self, value: f64) -> Value {
        self.constant(
            &format!("number {value:?}"),
            TensorProto { data_type: data_type::DOUBLE, double_data: vec![value], ..TensorProto::default() },
        )
    }

    /// Numbers in this shape.
    pub(crate) fn number_tensor(&mut self, values: &[f64], shape: &[usize]) -> Value {
        let bits: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
        self.constant(
            &format!("numbers {shape:?} {}", bits.join(" ")),
            TensorProto {
                dims: shape.iter().map(|length| *length as i64).collect(),
                data_type: data_type::DOUBLE,
                double_data: values.to_vec(),
                ..TensorProto::default()
            },
        )
    }

    /// A whole number.
    pub(crate) fn integer(&mut self, value: i64) -> Value {
        self.constant(
            &format!("integer {value}"),
            TensorProto { data_type: data_type::INT64, int64_data: vec![value], ..TensorProto::default() },
        )
    }

    /// A vector of whole numbers.
    pub(crate) fn integers(&mut self, values: &[i64]) -> Value {
        self.constant(
            &format!("integers {values:?}"),
            TensorProto {
                dims: vec![values.len() as i64],
                data_type: data_type::INT64,
                int64_data: values.to_vec(),
                ..TensorProto::default()
            },
        )
    }

    fn constant(&mut self, key: &str, tensor: TensorProto) -> Value {
        if let Some(known) = self.constants.get(key) {
            return known.clone();
        }
        let value = Value(format!("{RESERVED_PREFIX}constant_{}", self.constants.len()));
        self.proto.initializer.push(TensorProto { name: value.0.clone(), ..tensor });
        self.constants.insert(key.to_owned(), value.clone());
        value
    }

    /// Applies an operator.
    pub(crate) fn op(&mut self, operator: &str, inputs: &[&Value]) -> Value {
        self.apply(operator, inputs, Vec::new())
    }

    /// Applies an operator with a whole number as attribute.
    pub(crate) fn op_with(&mut self, operator: &str, inputs: &[&Value], name: &str, value: i64) -> Value {
        let attribute =
            AttributeProto { name: name.into(), i: value, kind: attribute_type::INT, ..AttributeProto::default() };
        self.apply(operator, inputs, vec![attribute])
    }

    /// True for each text that RE2's `pattern` matches completely.
    pub(crate) fn matches(&mut self, texts: &Value, pattern: &str) -> Value {
        let attribute = AttributeProto {
            name: "pattern".into(),
            s: pattern.as_bytes().to_vec(),
            kind: attribute_type::STRING,
            ..AttributeProto::default()
        };
        self.apply("RegexFullMatch", &[texts], vec![attribute])
    }

    /// Applies an operator of the machine learning domain.
    pub(crate) fn ml_op(&mut self, operator: &str, inputs: &[&Value], attribute: Vec<AttributeProto>) -> Value {
        let output = self.apply(operator, inputs, attribute);
        if let Some(node) = self.proto.node.last_mut() {
            node.domain = ML_DOMAIN.into();
        }
        output
    }

    fn apply(&mut self, operator: &str, inputs: &[&Value], attribute: Vec<AttributeProto>) -> Value {
        let output = format!("{RESERVED_PREFIX}{}_{}", operator.to_lowercase(), self.proto.node.len());
        self.proto.node.push(NodeProto {
            input: inputs.iter().map(|value| value.0.clone()).collect(),
            output: vec![output.clone()],
            name: output.clone(),
            op_type: operator.into(),
            attribute,
            domain: String::new(),
        });
        Value(output)
    }

    /// Converts booleans or integers to numbers.
    pub(crate) fn number_of(&mut self, value: &Value) -> Value {
        self.op_with("Cast", &[value], "to", i64::from(data_type::DOUBLE))
    }

    /// Converts integer-valued numbers to integers.
    pub(crate) fn whole_of(&mut self, value: &Value) -> Value {
        self.op_with("Cast", &[value], "to", i64::from(data_type::INT64))
    }

    /// Converts booleans to 0 and 1.
    pub(crate) fn integer_of(&mut self, value: &Value) -> Value {
        self.op_with("Cast", &[value], "to", i64::from(data_type::INT64))
    }

    /// `yes` where `condition` is true, `no` elsewhere.
    pub(crate) fn choose(&mut self, condition: &Value, yes: &Value, no: &Value) -> Value {
        self.op("Where", &[condition, yes, no])
    }

    /// Repeats a single value for each row.
    pub(crate) fn in_every_row(&mut self, value: &Value) -> Value {
        let Some(given) = self.proto.input.first().map(|given| Value(given.name.clone())) else { return value.clone() };
        let rows = self.op("Shape", &[&given]);
        self.op("Expand", &[value, &rows])
    }

    /// True where any condition is true; `None` without conditions.
    pub(crate) fn any(&mut self, conditions: impl IntoIterator<Item = Value>) -> Option<Value> {
        let mut conditions = conditions.into_iter();
        let first = conditions.next()?;
        Some(conditions.fold(first, |either, condition| self.op("Or", &[&either, &condition])))
    }

    /// The finished graph, whose output is a column of numbers called `name`.
    pub(crate) fn finish(mut self, output: &Value, name: &str) -> GraphProto {
        let node = NodeProto {
            input: vec![output.0.clone()],
            output: vec![name.to_owned()],
            name: name.to_owned(),
            op_type: "Identity".into(),
            attribute: Vec::new(),
            domain: String::new(),
        };
        self.proto.node.push(node);
        self.proto.output.push(column(name, data_type::DOUBLE));
        self.proto.name = "raw columns to a prediction".into();
        self.proto
    }
}

fn column(name: &str, elements: i32) -> ValueInfoProto {
    let shape = TensorShapeProto { dim: vec![DimensionProto { dim_param: ROWS.into() }] };
    ValueInfoProto {
        name: name.to_owned(),
        kind: Some(TypeProto { tensor_type: Some(TensorTypeProto { elem_type: elements, shape: Some(shape) }) }),
        doc_string: String::new(),
    }
}
