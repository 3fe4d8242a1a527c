//! A graph in the making: operators by name, constants kept once.

use std::collections::BTreeMap;

use crate::proto::{
    AttributeProto, DimensionProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto, attribute_type, data_type,
};

/// What the first dimension of every input and output is called: the rows.
const ROWS: &str = "rows";

/// The domain of operators that hold what was learned.
pub(crate) const LEARNED: &str = "ai.onnx.ml";

/// Begins the name of everything that is not given: no column's name has a backtick in it.
const OWN: char = '`';

/// A value in the graph.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Value(String);

/// A graph over columns: all values are vectors of one entry a row, if nothing else is said.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    proto: GraphProto,
    constants: BTreeMap<String, Value>,
}

impl Graph {
    /// A column of numbers that is given.
    pub(crate) fn numbers(&mut self, name: &str) -> Value {
        self.input(name, data_type::DOUBLE)
    }

    /// A column of text that is given.
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
        let value = Value(format!("{OWN}constant_{}", self.constants.len()));
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

    /// Whether each text is matched, as a whole, by RE2's `pattern`.
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
    pub(crate) fn learned(&mut self, operator: &str, inputs: &[&Value], attribute: Vec<AttributeProto>) -> Value {
        let output = self.apply(operator, inputs, attribute);
        if let Some(node) = self.proto.node.last_mut() {
            node.domain = LEARNED.into();
        }
        output
    }

    fn apply(&mut self, operator: &str, inputs: &[&Value], attribute: Vec<AttributeProto>) -> Value {
        let output = format!("{OWN}{}_{}", operator.to_lowercase(), self.proto.node.len());
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

    /// Truths or whole numbers as numbers.
    pub(crate) fn number_of(&mut self, value: &Value) -> Value {
        self.op_with("Cast", &[value], "to", i64::from(data_type::DOUBLE))
    }

    /// Numbers without a fraction as whole numbers.
    pub(crate) fn whole_of(&mut self, value: &Value) -> Value {
        self.op_with("Cast", &[value], "to", i64::from(data_type::INT64))
    }

    /// Truths as 0 and 1.
    pub(crate) fn integer_of(&mut self, value: &Value) -> Value {
        self.op_with("Cast", &[value], "to", i64::from(data_type::INT64))
    }

    /// `yes` where `condition` holds, `no` elsewhere.
    pub(crate) fn choose(&mut self, condition: &Value, yes: &Value, no: &Value) -> Value {
        self.op("Where", &[condition, yes, no])
    }

    /// The value, which is one for all, in every row.
    pub(crate) fn in_every_row(&mut self, value: &Value) -> Value {
        let Some(given) = self.proto.input.first().map(|given| Value(given.name.clone())) else { return value.clone() };
        let rows = self.op("Shape", &[&given]);
        self.op("Expand", &[value, &rows])
    }

    /// Whether any holds; `None` for none at all.
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
