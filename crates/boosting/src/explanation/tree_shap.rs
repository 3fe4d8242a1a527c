//! Exact Shapley values of trees: the contribution of each feature to a prediction.
//!
//! The path-dependent algorithm of Lundberg, Erion and Lee, "Consistent Individualized Feature Attribution for Tree Ensembles" (2018),
//! algorithm 2: at the split of an unknown feature, a row follows both children, weighted by their training rows. Small trees use the
//! tables of [`TreeExplainer`](crate::explanation::explainer::TreeExplainer) instead.

use crate::tree::{ensemble::Trees, traversal::EnsembleOutput};

/// Largest depth of a tree that is explained, in splits; the work grows with the square of the depth.
const MAX_EXPLAINED_DEPTH: usize = 512;

/// A feature on the path from the root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathStep {
    feature: usize,
    /// The share of training rows that follow the path where the feature is not known.
    zero: f64,
    /// 1 if the row itself follows the path, else 0.
    one: f64,
    /// Weight of the sets of known features of each size.
    weight: f64,
}

impl PathStep {
    /// The first step of every path.
    pub(crate) const ROOT: Self = Self { feature: usize::MAX, zero: 1.0, one: 1.0, weight: 1.0 };
}

impl Trees {
    /// Checks that contributions can be computed.
    ///
    /// # Errors
    /// If the nodes have no row counts, or a tree is deeper than 512 splits.
    pub fn check_explainable(&self) -> Result<(), String> {
        if !self.has_cover() {
            return Err("the trees have no counts of training rows".into());
        }
        let mut depth = vec![0_usize; self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| !node.is_leaf()) {
            let children = self.cover[node.left as usize] + self.cover[node.left as usize + 1];
            if children <= 0.0 {
                return Err(format!("no training row reached the children of node {index}"));
            }
            depth[node.left as usize] = depth[index] + 1;
            depth[node.left as usize + 1] = depth[index] + 1;
        }
        let deepest = depth.into_iter().max().unwrap_or(0);
        if deepest > MAX_EXPLAINED_DEPTH {
            Err(format!("a tree is {deepest} splits deep; the limit for contributions is {MAX_EXPLAINED_DEPTH}"))
        } else {
            Ok(())
        }
    }

    /// The mean output of the trees over the training rows.
    pub fn expected(&self, sum: EnsembleOutput) -> f64 {
        let mut means: Vec<f64> = self.nodes.iter().map(|node| if node.is_leaf() { node.number } else { 0.0 }).collect();
        for (index, node) in self.nodes.iter().enumerate().rev().filter(|(_, node)| !node.is_leaf()) {
            let (left, right) = (node.left as usize, node.left as usize + 1);
            let (a, b) = (self.cover[left], self.cover[right]);
            means[index] = (means[left] * a + means[right] * b) / (a + b);
        }
        (sum.base + self.roots.iter().map(|root| means[*root as usize]).sum::<f64>()) * sum.factor
    }

    /// Adds the contributions of one tree for `row`. The path to `node` is in `paths` from `start` on.
    pub(crate) fn explain_by_recursion(
        &self,
        node: usize,
        row: &[f64],
        paths: &mut Vec<PathStep>,
        start: usize,
        contributions: &mut [f64],
    ) {
        let here = &self.nodes[node];
        if here.is_leaf() {
            let path = &paths[start..];
            for place in 1..path.len() {
                let PathStep { feature, zero, one, .. } = path[place];
                contributions[feature] += unwound_sum(path, place) * (one - zero) * here.number;
            }
            return;
        }
        let feature = here.column() - 1;
        let hot = self.next(node, row[feature]);
        let (left, right) = (here.left as usize, here.left as usize + 1);
        let total = self.cover[left] + self.cover[right];
        let (mut zero, mut one) = (1.0, 1.0);
        if let Some(place) = paths[start..].iter().position(|step| step.feature == feature) {
            (zero, one) = (paths[start + place].zero, paths[start + place].one);
            unwind(paths, start, place);
        }
        let end = paths.len();
        for child in [left, right] {
            let share = self.cover[child] / total;
            let one = if child == hot { one } else { 0.0 };
            // no row follows this path
            if zero * share > 0.0 || one > 0.0 {
                paths.extend_from_within(start..end);
                extend(paths, end, PathStep { feature, zero: zero * share, one, weight: 0.0 });
                self.explain_by_recursion(child, row, paths, end, contributions);
                paths.truncate(end);
            }
        }
    }
}

/// Adds a step to the path in `paths` from `start` on.
fn extend(paths: &mut Vec<PathStep>, start: usize, step: PathStep) {
    let length = paths.len() - start;
    paths.push(PathStep { weight: if length == 0 { 1.0 } else { 0.0 }, ..step });
    let path = &mut paths[start..];
    for place in (0..length).rev() {
        let share = path[place].weight / (length + 1) as f64;
        path[place + 1].weight += step.one * share * (place + 1) as f64;
        path[place].weight = step.zero * share * (length - place) as f64;
    }
}

/// Removes a step from the path in `paths` from `start` on.
fn unwind(paths: &mut Vec<PathStep>, start: usize, place: usize) {
    let path = &mut paths[start..];
    let last = path.len() - 1;
    let PathStep { zero, one, .. } = path[place];
    let mut next = path[last].weight;
    for index in (0..last).rev() {
        if one == 0.0 {
            path[index].weight = path[index].weight * (last + 1) as f64 / (zero * (last - index) as f64);
        } else {
            let before = path[index].weight;
            path[index].weight = next * (last + 1) as f64 / ((index + 1) as f64 * one);
            next = before - path[index].weight * zero * (last - index) as f64 / (last + 1) as f64;
        }
    }
    for index in place..last {
        let after = path[index + 1];
        path[index] = PathStep { weight: path[index].weight, ..after };
    }
    paths.pop();
}

/// The sum of the weights of the path without one step.
fn unwound_sum(path: &[PathStep], place: usize) -> f64 {
    let last = path.len() - 1;
    let PathStep { zero, one, .. } = path[place];
    let (mut next, mut total) = (path[last].weight, 0.0);
    for index in (0..last).rev() {
        if one == 0.0 {
            total += path[index].weight * (last + 1) as f64 / (zero * (last - index) as f64);
        } else {
            let share = next * (last + 1) as f64 / ((index + 1) as f64 * one);
            total += share;
            next = path[index].weight - share * zero * (last - index) as f64 / (last + 1) as f64;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{boosting::fit, parameters::BoostingParameters};
    use fastrand::Rng;

    /// The prediction if only the features in `known` are known.
    fn partial(trees: &Trees, node: usize, row: &[f64], known: u32) -> f64 {
        let here = &trees.nodes[node];
        if here.is_leaf() {
            return here.number;
        }
        if known >> (here.column() - 1) & 1 == 1 {
            return partial(trees, trees.next(node, row[here.column() - 1]), row, known);
        }
        let (left, right) = (here.left as usize, here.left as usize + 1);
        let (a, b) = (trees.cover[left], trees.cover[right]);
        (partial(trees, left, row, known) * a + partial(trees, right, row, known) * b) / (a + b)
    }

    #[test]
    fn contributions_are_the_shapley_values_of_the_definition_and_add_up() {
        let mut rng = Rng::with_seed(5);
        let mut columns: Vec<Vec<f64>> = (0..4).map(|_| (0..300).map(|_| rng.f64()).collect()).collect();
        columns[2].iter_mut().step_by(7).for_each(|value| *value = f64::NAN);
        let y: Vec<f64> = (0..300)
            .map(|row| columns[0][row] * columns[1][row] * 10.0 + if columns[2][row] > 0.3 { columns[3][row] } else { -1.0 })
            .collect();
        let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
        // trees of up to eight leaves have a table, larger ones do not
        for leaves in [2, 8, 12] {
            let parameters = BoostingParameters {
                iterations: 10,
                min_samples_leaf: 3,
                max_leaves: Some(leaves),
                ..BoostingParameters::default()
            };
            let model = fit(&columns, &y, None, &parameters).unwrap();
            model.trees.check_explainable().unwrap();
            let sum = EnsembleOutput { base: model.base, factor: 1.0 };
            let explainer = model.trees.explainer();
            let expected = model.trees.expected(sum);
            let predicted = model.trees.predict(&columns, 300, sum);
            for row in (0..300).step_by(29) {
                let cells: Vec<f64> = columns.iter().map(|column| column[row]).collect();
                let mut contributions = vec![0.0; 4];
                let all_rows = explainer.explain(&model.trees, &cells, sum, &mut contributions);
                assert_eq!(all_rows.to_bits(), predicted[row].to_bits());
                let game = |known: u32| -> f64 {
                    model.trees.roots.iter().map(|root| partial(&model.trees, *root as usize, &cells, known)).sum()
                };
                for feature in 0..4_u32 {
                    let by_definition: f64 = (0..16_u32)
                        .filter(|known| known >> feature & 1 == 0)
                        .map(|known| {
                            let size = known.count_ones();
                            factorial(size) * factorial(3 - size) / factorial(4) * (game(known | 1 << feature) - game(known))
                        })
                        .sum();
                    assert!((contributions[feature as usize] - by_definition).abs() < 1e-9);
                }
                assert!((expected + contributions.iter().sum::<f64>() - predicted[row]).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn trees_that_cannot_be_explained_are_an_error() {
        let mut trees = Trees::default();
        trees.begin_tree(1.0, 1.0);
        trees.cover.clear();
        assert!(trees.check_explainable().unwrap_err().contains("have no counts of training rows"));
        let mut deep = Trees::default();
        let mut node = deep.begin_tree(1.0, 1.0);
        for _ in 0..600 {
            node = deep.split(node, 0, &crate::tree::ensemble::SplitCondition::AtMost(1.0), false, [(1.0, 1.0), (2.0, 1.0)]);
        }
        assert_eq!(deep.check_explainable().unwrap_err(), "a tree is 600 splits deep; the limit for contributions is 512");
    }
}
