//! What is worked out once so that many rows are explained quickly.
//!
//! A tree of few splits has few outcomes: the parts that each gives to the features are kept in a table. A leaf is a game of its own in which
//! only the features on the way to it play: `f(K) = value · Π one (known) · Π zero (not known)`, and Shapley values add up over games
//! (Lundberg, Erion and Lee, 2018; the idea of tables is from Yang, "Fast TreeSHAP", 2021). Larger trees are walked for every row.

use crate::{
    explanation::tree_shap::Step,
    tree::{
        ensemble::Trees,
        quick_scorer::{Outcomes, splits_of},
        traversal::Sum,
    },
};

/// Values in all tables at most; trees after that have none.
const VALUES: usize = 1 << 20;

/// Takes outputs of trees apart, row by row.
#[derive(Clone, Debug)]
pub struct Explainer {
    outcomes: Outcomes,
    tables: Vec<Table>,
    /// The features of all tables.
    features: Vec<u32>,
    /// A row an outcome, a column a feature, table after table.
    values: Vec<f64>,
    /// The roots of trees without a table.
    deep: Vec<u32>,
}

/// Where the features of a table end, and where its values begin.
#[derive(Clone, Copy, Debug)]
struct Table {
    features_end: usize,
    values_start: usize,
}

/// A feature on the way to a leaf.
struct Player {
    /// Its place among the features of the table.
    place: usize,
    /// The share of training rows that goes its way where it is not known.
    zero: f64,
    /// Its splits on the way, a bit each.
    asked: usize,
    /// Those of them where the way goes left.
    left: usize,
}

impl Trees {
    /// What [`Explainer::explain`] needs of these trees. [`check_explicable`](Self::check_explicable) comes before.
    pub fn explainer(&self) -> Explainer {
        Explainer::of(self)
    }
}

impl Explainer {
    pub(crate) fn of(trees: &Trees) -> Self {
        let mut made =
            Self { outcomes: Outcomes::default(), tables: vec![], features: vec![], values: vec![], deep: vec![] };
        for root in &trees.roots {
            match splits_of(trees, *root) {
                Some(splits) if made.values.len() < VALUES => made.push_table(trees, *root, &splits),
                _ => made.deep.push(*root),
            }
        }
        made.outcomes.sort();
        made
    }

    fn push_table(&mut self, trees: &Trees, root: u32, splits: &[u32]) {
        let mut features: Vec<u32> = splits.iter().map(|node| trees.nodes[*node as usize].place() as u32 - 1).collect();
        features.sort_unstable();
        features.dedup();
        let values_start = self.values.len();
        self.values.resize(values_start + (features.len() << splits.len()), 0.0);
        let mut ways = vec![(root as usize, Vec::<Player>::new())];
        while let Some((index, players)) = ways.pop() {
            let node = &trees.nodes[index];
            if node.is_leaf() {
                add_game(&mut self.values[values_start..], features.len(), &players, node.number);
                continue;
            }
            let bit = splits.iter().position(|split| *split as usize == index).map_or(0, |place| 1 << place);
            let place = features.iter().position(|feature| *feature as usize == node.place() - 1).unwrap_or_default();
            let (left, right) = (node.left as usize, node.left as usize + 1);
            let total = trees.cover[left] + trees.cover[right];
            for child in [left, right] {
                let mut players: Vec<Player> = players.iter().map(|player| Player { ..*player }).collect();
                let known = players.iter().position(|player| player.place == place).unwrap_or_else(|| {
                    players.push(Player { place, zero: 1.0, asked: 0, left: 0 });
                    players.len() - 1
                });
                players[known].zero *= trees.cover[child] / total;
                players[known].asked |= bit;
                players[known].left |= if child == left { bit } else { 0 };
                ways.push((child, players));
            }
        }
        self.outcomes.push(trees, root, splits);
        self.features.extend(features);
        self.tables.push(Table { features_end: self.features.len(), values_start });
    }

    /// `(base + Σ output) · factor` for every row of `columns`: the same bits as [`Trees::predict`].
    ///
    /// # Panics
    /// If `trees` are not those that it was made of: that is a mistake in the caller.
    pub fn predict(&self, trees: &Trees, columns: &[Vec<f64>], rows: usize, sum: Sum) -> Vec<f64> {
        if self.deep.is_empty() {
            self.outcomes.predict(trees, columns, rows, sum)
        } else {
            trees.predict(columns, rows, sum)
        }
    }

    /// Adds to `added` what each feature adds to the sum of the trees for `row`, over [`Trees::expected`]; returns the sum itself, the same
    /// bits as those of [`Trees::predict_row`].
    ///
    /// # Panics
    /// If `trees` are not those that it was made of: that is a mistake in the caller.
    pub fn explain(&self, trees: &Trees, row: &[f64], sum: Sum, added: &mut [f64]) -> f64 {
        let outcomes = self.outcomes.of_row(trees, row);
        let mut features_start = 0;
        for (table, outcome) in self.tables.iter().zip(&outcomes) {
            let features = &self.features[features_start..table.features_end];
            let values = &self.values[table.values_start + usize::from(*outcome) * features.len()..];
            for (feature, value) in features.iter().zip(values) {
                added[*feature as usize] += value;
            }
            features_start = table.features_end;
        }
        let mut paths = Vec::new();
        for root in &self.deep {
            paths.clear();
            paths.push(Step::ROOT);
            trees.explain_deep(*root as usize, row, &mut paths, 0, added);
        }
        added.iter_mut().for_each(|part| *part *= sum.factor);
        if self.deep.is_empty() { self.outcomes.sum(&outcomes, sum) } else { trees.predict_row(row, sum) }
    }
}

/// Adds the game of one leaf to every outcome of a table.
fn add_game(values: &mut [f64], width: usize, players: &[Player], value: f64) {
    if width == 0 {
        return;
    }
    // by which players an outcome satisfies, a bit each
    let parts: Vec<f64> = (0..1_usize << players.len()).flat_map(|known| shapley(players, known, value)).collect();
    for (outcome, row) in values.chunks_exact_mut(width).enumerate() {
        let satisfied = |player: &Player| outcome & player.asked == player.left;
        let known = players.iter().enumerate().map(|(place, player)| usize::from(satisfied(player)) << place).sum::<usize>();
        for (player, part) in players.iter().zip(&parts[known * players.len()..]) {
            row[player.place] += part;
        }
    }
}

/// What each player adds in the game of a leaf of this value where the players in `known` go its way.
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
