//! Precomputed tables that explain many rows quickly.
//!
//! A tree of few splits has few outcomes, so a table can hold the contributions of each. Each leaf is a game whose players are the features
//! on its path: `f(K) = value · Π one (known) · Π zero (not known)`. Shapley values add up over games (Lundberg, Erion and Lee, 2018;
//! tables: Yang, "Fast TreeSHAP", 2021). Larger trees are explained by recursion for each row.

use crate::{
    explanation::tree_shap::PathStep,
    tree::{
        ensemble::Trees,
        quick_scorer::{QuickScorer, small_tree_splits},
        traversal::EnsembleOutput,
    },
};

/// Largest number of values in all tables (8 MiB); trees beyond it are explained by recursion.
const MAX_TABLE_VALUES: usize = 1 << 20;

/// Computes SHAP values of an ensemble, row by row.
#[derive(Clone, Debug)]
pub struct TreeExplainer {
    scorer: QuickScorer,
    tables: Vec<OutcomeTable>,
    /// Features of all tables, one table after the other.
    features: Vec<u32>,
    /// One row per outcome, one column per feature; one table after the other.
    values: Vec<f64>,
    /// Roots of the trees without a table.
    deep: Vec<u32>,
}

/// End of a table's features, and start of its values.
#[derive(Clone, Copy, Debug)]
struct OutcomeTable {
    features_end: usize,
    values_start: usize,
}

/// A feature on the path to a leaf.
struct Player {
    /// Its index among the features of the table.
    place: usize,
    /// The share of training rows that follow the path at this feature's splits.
    zero: f64,
    /// Its splits on the path, one bit each.
    splits: usize,
    /// Those of its splits at which the path goes left.
    left: usize,
}

impl Trees {
    /// The explainer of these trees. Call [`check_explainable`](Self::check_explainable) first.
    pub fn explainer(&self) -> TreeExplainer {
        TreeExplainer::new(self)
    }
}

impl TreeExplainer {
    pub(crate) fn new(trees: &Trees) -> Self {
        let mut explainer =
            Self { scorer: QuickScorer::default(), tables: vec![], features: vec![], values: vec![], deep: vec![] };
        for root in &trees.roots {
            match small_tree_splits(trees, *root) {
                Some(splits) if explainer.values.len() < MAX_TABLE_VALUES => explainer.push_table(trees, *root, &splits),
                _ => explainer.deep.push(*root),
            }
        }
        explainer.scorer.sort();
        explainer
    }

    fn push_table(&mut self, trees: &Trees, root: u32, splits: &[u32]) {
        let mut features: Vec<u32> = splits.iter().map(|node| trees.nodes[*node as usize].column() as u32 - 1).collect();
        features.sort_unstable();
        features.dedup();
        let values_start = self.values.len();
        self.values.resize(values_start + (features.len() << splits.len()), 0.0);
        let mut paths = vec![(root as usize, Vec::<Player>::new())];
        while let Some((index, players)) = paths.pop() {
            let node = &trees.nodes[index];
            if node.is_leaf() {
                add_game(&mut self.values[values_start..], features.len(), &players, node.number);
                continue;
            }
            let bit = splits.iter().position(|split| *split as usize == index).map_or(0, |place| 1 << place);
            let place = features.iter().position(|feature| *feature as usize == node.column() - 1).unwrap_or_default();
            let (left, right) = (node.left as usize, node.left as usize + 1);
            let total = trees.cover[left] + trees.cover[right];
            for child in [left, right] {
                let mut players: Vec<Player> = players.iter().map(|player| Player { ..*player }).collect();
                let known = players.iter().position(|player| player.place == place).unwrap_or_else(|| {
                    players.push(Player { place, zero: 1.0, splits: 0, left: 0 });
                    players.len() - 1
                });
                players[known].zero *= trees.cover[child] / total;
                players[known].splits |= bit;
                players[known].left |= if child == left { bit } else { 0 };
                paths.push((child, players));
            }
        }
        self.scorer.push(trees, root, splits);
        self.features.extend(features);
        self.tables.push(OutcomeTable { features_end: self.features.len(), values_start });
    }

    /// `(base + Σ output) · factor` for each row of `columns`: the same bits as [`Trees::predict`].
    ///
    /// # Panics
    /// If `trees` is not the ensemble that the explainer was built from (a mistake of the caller).
    pub fn predict(&self, trees: &Trees, columns: &[Vec<f64>], rows: usize, sum: EnsembleOutput) -> Vec<f64> {
        if self.deep.is_empty() { self.scorer.predict(trees, columns, rows, sum) } else { trees.predict(columns, rows, sum) }
    }

    /// Adds the contribution of each feature to `contributions` and returns the prediction. Contributions plus [`Trees::expected`] give the
    /// prediction, which has the same bits as [`Trees::predict_row`].
    ///
    /// # Panics
    /// If `trees` is not the ensemble that the explainer was built from (a mistake of the caller).
    pub fn explain(&self, trees: &Trees, row: &[f64], sum: EnsembleOutput, contributions: &mut [f64]) -> f64 {
        let outcomes = self.scorer.outcomes(trees, row);
        let mut features_start = 0;
        for (table, outcome) in self.tables.iter().zip(&outcomes) {
            let features = &self.features[features_start..table.features_end];
            let values = &self.values[table.values_start + usize::from(*outcome) * features.len()..];
            for (feature, value) in features.iter().zip(values) {
                contributions[*feature as usize] += value;
            }
            features_start = table.features_end;
        }
        let mut paths = Vec::new();
        for root in &self.deep {
            paths.clear();
            paths.push(PathStep::ROOT);
            trees.explain_by_recursion(*root as usize, row, &mut paths, 0, contributions);
        }
        contributions.iter_mut().for_each(|part| *part *= sum.factor);
        if self.deep.is_empty() { self.scorer.sum(&outcomes, sum) } else { trees.predict_row(row, sum) }
    }
}

/// Adds the Shapley values of one leaf's game to all outcomes of a table.
fn add_game(values: &mut [f64], width: usize, players: &[Player], value: f64) {
    if width == 0 {
        return;
    }
    // for each set of satisfied players, one bit each
    let parts: Vec<f64> = (0..1_usize << players.len()).flat_map(|known| shapley(players, known, value)).collect();
    for (outcome, row) in values.chunks_exact_mut(width).enumerate() {
        let satisfied = |player: &Player| outcome & player.splits == player.left;
        let known = players.iter().enumerate().map(|(place, player)| usize::from(satisfied(player)) << place).sum::<usize>();
        for (player, part) in players.iter().zip(&parts[known * players.len()..]) {
            row[player.place] += part;
        }
    }
}

/// The Shapley value of each player in the game of a leaf, where the players in `known` follow its path.
fn shapley(players: &[Player], known: usize, value: f64) -> Vec<f64> {
    let count = players.len();
    let one = |place: usize| if known >> place & 1 == 1 { 1.0 } else { 0.0 };
    (0..count)
        .map(|player| {
            // coefficient k: the sum over all sets of k other players
            let mut sums = vec![1.0];
            for other in (0..count).filter(|other| *other != player) {
                sums.push(0.0);
                for place in (0..sums.len()).rev() {
                    let before = if place == 0 { 0.0 } else { sums[place - 1] };
                    sums[place] = sums[place] * players[other].zero + before * one(other);
                }
            }
            // k! (n - 1 - k)! / n!
            let mut weight = 1.0 / count as f64;
            let mut total = 0.0;
            for (size, sum) in sums.iter().enumerate() {
                total += weight * sum;
                weight *= (size + 1) as f64 / (count - 1 - size).max(1) as f64;
            }
            total * (one(player) - players[player].zero) * value
        })
        .collect()
}
