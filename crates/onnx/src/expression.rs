//! Derived features: steps of their programs as operators.

use features::{Binary, DatePart, Operator, Program, Step, Unary};

use crate::{
    calendar,
    graph::{Graph, Value},
};

/// The value of `program` in each row; `inputs` are the columns that it reads.
pub(crate) fn run(graph: &mut Graph, program: &Program, inputs: &[Value]) -> Value {
    let mut stack: Vec<Value> = Vec::new();
    for step in program.steps() {
        let value = match step {
            Step::Constant(value) => graph.number(if value.is_finite() { *value } else { f64::NAN }),
            Step::Column(column) => inputs[*column].clone(),
            Step::Unary(operation) => {
                let operand = pop(&mut stack, graph);
                let value = unary(graph, *operation, &operand);
                finite(graph, &value)
            }
            Step::Binary(operation) => {
                let right = pop(&mut stack, graph);
                let left = pop(&mut stack, graph);
                let value = binary(graph, *operation, &left, &right);
                finite(graph, &value)
            }
        };
        stack.push(value);
    }
    pop(&mut stack, graph)
}

fn pop(stack: &mut Vec<Value>, graph: &mut Graph) -> Value {
    stack.pop().unwrap_or_else(|| graph.number(f64::NAN))
}

/// Replaces infinite values by NaN (missing).
fn finite(graph: &mut Graph, value: &Value) -> Value {
    let infinite = graph.op("IsInf", &[value]);
    let missing = graph.number(f64::NAN);
    graph.choose(&infinite, &missing, value)
}

fn unary(graph: &mut Graph, operation: Unary, value: &Value) -> Value {
    match operation {
        Unary::Negate => graph.op("Neg", &[value]),
        Unary::Log => graph.op("Log", &[value]),
        Unary::Log1p => log1p(graph, value),
        Unary::Exp => graph.op("Exp", &[value]),
        Unary::Sqrt => graph.op("Sqrt", &[value]),
        Unary::Abs => graph.op("Abs", &[value]),
        Unary::Floor => graph.op("Floor", &[value]),
        Unary::Round => round(graph, value),
        Unary::Calendar(part) => {
            let date = calendar::date_of(graph, value);
            match part {
                DatePart::Year => date.year,
                DatePart::Month => date.month,
                DatePart::Day => date.day,
                DatePart::Weekday => calendar::weekday(graph, value),
            }
        }
    }
}

/// `log(u) · x / (u - 1)` with `u = 1 + x`: exact where `x` is small (Kahan; see Goldberg, "What every computer scientist should
/// know about floating-point arithmetic", theorem 4).
fn log1p(graph: &mut Graph, x: &Value) -> Value {
    let one = graph.number(1.0);
    let u = graph.op("Add", &[&one, x]);
    let less = graph.op("Sub", &[&u, &one]);
    let log = graph.op("Log", &[&u]);
    let scaled = graph.op("Mul", &[&log, x]);
    let exact = graph.op("Div", &[&scaled, &less]);
    let tiny = graph.op("Equal", &[&u, &one]);
    graph.choose(&tiny, x, &exact)
}

/// Halves away from zero; ONNX's `Round` takes them to the even neighbour.
fn round(graph: &mut Graph, value: &Value) -> Value {
    let size = graph.op("Abs", &[value]);
    let whole = graph.op("Floor", &[&size]);
    let rest = graph.op("Sub", &[&size, &whole]);
    let half = graph.number(0.5);
    let up = graph.op("GreaterOrEqual", &[&rest, &half]);
    let up = graph.number_of(&up);
    let rounded = graph.op("Add", &[&whole, &up]);
    let zero = graph.number(0.0);
    let negative = graph.op("Less", &[value, &zero]);
    let opposite = graph.op("Neg", &[&rounded]);
    graph.choose(&negative, &opposite, &rounded)
}

fn binary(graph: &mut Graph, operation: Binary, left: &Value, right: &Value) -> Value {
    let operator = match operation {
        Binary::IfMissing => {
            let missing = graph.op("IsNaN", &[left]);
            return graph.choose(&missing, right, left);
        }
        Binary::Arithmetic(Operator::Add) => "Add",
        Binary::Arithmetic(Operator::Subtract) => "Sub",
        Binary::Arithmetic(Operator::Multiply) => "Mul",
        Binary::Arithmetic(Operator::Divide) => "Div",
        Binary::Arithmetic(Operator::Power) => "Pow",
        Binary::Min => "Min",
        Binary::Max => "Max",
    };
    let value = graph.op(operator, &[left, right]);
    if !matches!(operator, "Pow" | "Min" | "Max") {
        return value;
    }
    // these operators can return a value for a missing operand
    let sides = [left, right].map(|side| graph.op("IsNaN", &[side]));
    let missing = graph.op("Or", &[&sides[0], &sides[1]]);
    let nothing = graph.number(f64::NAN);
    graph.choose(&missing, &nothing, &value)
}
