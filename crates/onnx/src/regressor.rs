//! Regressors: from the matrix of features to the prediction.

use model::{BlendMemberModel, Linear, Regressor, SvrModel, TargetTransform};

use crate::{
    graph::{Graph, Value},
    trees,
};

/// The prediction of a regressor for `features`, a matrix of `width` columns.
pub(crate) fn regressor(graph: &mut Graph, features: &Value, regressor: &Regressor, width: usize) -> Value {
    match regressor {
        Regressor::Linear(of) => linear(graph, features, of),
        Regressor::Trees(of) => trees::ensemble(graph, features, of, width),
        Regressor::Svr(of) => kernel(graph, features, of),
        Regressor::Blend(members) => {
            let mut sum = graph.number(0.0);
            for member in members {
                let one = match &member.regressor {
                    BlendMemberModel::Linear(of) => linear(graph, features, of),
                    BlendMemberModel::Trees(of) => trees::ensemble(graph, features, of, width),
                    BlendMemberModel::Svr(of) => kernel(graph, features, of),
                };
                let one = inverse_transform(graph, one, member.transform);
                let weight = graph.number(member.weight);
                let share = graph.op("Mul", &[&one, &weight]);
                sum = graph.op("Add", &[&sum, &share]);
            }
            sum
        }
    }
}

/// Converts a prediction to the target's unit.
pub(crate) fn inverse_transform(graph: &mut Graph, prediction: Value, transform: TargetTransform) -> Value {
    match transform {
        TargetTransform::None => prediction,
        TargetTransform::Log => graph.op("Exp", &[&prediction]),
    }
}

fn linear(graph: &mut Graph, features: &Value, linear: &Linear) -> Value {
    let sum = product(graph, features, &linear.coefficients);
    let intercept = graph.number(linear.intercept);
    graph.op("Add", &[&sum, &intercept])
}

/// The product of a matrix and a vector.
fn product(graph: &mut Graph, matrix: &Value, vector: &[f64]) -> Value {
    let column = graph.number_tensor(vector, &[vector.len(), 1]);
    let weighed = graph.op("MatMul", &[matrix, &column]);
    let flat = graph.integers(&[-1]);
    graph.op("Reshape", &[&weighed, &flat])
}

/// `‖z − v‖² = ‖z‖² − 2 z·v + ‖v‖²`, for all support vectors at once.
fn kernel(graph: &mut Graph, features: &Value, kernel: &SvrModel) -> Value {
    let (width, count) = (kernel.means.len(), kernel.weights.len());
    let bias = graph.number(kernel.bias);
    if count == 0 {
        let nothing = product(graph, features, &vec![0.0; width]);
        return graph.op("Add", &[&nothing, &bias]);
    }
    let means = graph.number_tensor(&kernel.means, &[1, width]);
    let scales = graph.number_tensor(&kernel.scales, &[1, width]);
    let centred = graph.op("Sub", &[features, &means]);
    let z = graph.op("Div", &[&centred, &scales]);
    let squares = graph.op("Mul", &[&z, &z]);
    let ones = graph.number_tensor(&vec![1.0; width], &[width, 1]);
    let lengths = graph.op("MatMul", &[&squares, &ones]);
    let turned: Vec<f64> =
        (0..width).flat_map(|place| (0..count).map(move |vector| kernel.vectors[vector * width + place])).collect();
    let turned = graph.number_tensor(&turned, &[width, count]);
    let products = graph.op("MatMul", &[&z, &turned]);
    let vectors = kernel.vectors.chunks_exact(width);
    let own: Vec<f64> = vectors.map(|vector| vector.iter().map(|value| value * value).sum()).collect();
    let own = graph.number_tensor(&own, &[1, count]);
    let two = graph.number(2.0);
    let twice = graph.op("Mul", &[&products, &two]);
    let distances = graph.op("Sub", &[&lengths, &twice]);
    let distances = graph.op("Add", &[&distances, &own]);
    let gamma = graph.number(-kernel.gamma);
    let powers = graph.op("Mul", &[&distances, &gamma]);
    let near = graph.op("Exp", &[&powers]);
    let sum = product(graph, &near, &kernel.weights);
    graph.op("Add", &[&sum, &bias])
}
