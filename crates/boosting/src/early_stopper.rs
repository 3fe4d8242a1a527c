//! Early stopping of boosting by the loss of validation rows.

use crate::parameters::{BoostingParameters, EarlyStopping};

/// Watches the loss of the validation rows.
pub(crate) struct EarlyStopper {
    settings: Option<EarlyStopping>,
    smallest: f64,
    trees: usize,
}

impl EarlyStopper {
    pub(crate) fn new(parameters: &BoostingParameters, loss: f64) -> Self {
        Self { settings: parameters.early_stopping, smallest: loss, trees: 0 }
    }

    /// True if the fit should stop after `trees` trees with this loss.
    pub(crate) fn is_due(&mut self, trees: usize, loss: f64) -> bool {
        let Some(settings) = self.settings else { return false };
        if loss.is_nan() {
            // all validation rows have weight 0
            self.trees = trees;
            return false;
        }
        if loss < self.smallest - settings.tolerance * self.smallest.abs() {
            (self.smallest, self.trees) = (loss, trees);
        }
        !loss.is_finite() || trees - self.trees >= settings.rounds
    }

    /// The number of trees with the smallest loss; `None` without early stopping.
    pub(crate) fn best(&self) -> Option<usize> {
        self.settings.map(|_| self.trees)
    }
}
