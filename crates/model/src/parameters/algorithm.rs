//! Names of the algorithms.

/// An algorithm of a model.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Algorithm {
    /// Ordinary least squares.
    LinearRegression,
    /// Least squares with a squared penalty.
    Ridge,
    /// Least squares with an absolute penalty.
    Lasso,
    /// Least squares with both penalties.
    ElasticNet,
    /// Mean of trees on bootstrap samples.
    RandomForest,
    /// Mean of trees with random thresholds.
    ExtraTrees,
    /// Boosted trees with the parameters and defaults of scikit-learn's class of this name.
    GradientBoosting,
    /// Boosted trees, grown leaf by leaf, with defaults by the size of the table.
    HistGradientBoosting,
    /// Support vector machine with a radial kernel.
    Svr,
    /// Weighted mean of other models.
    Blend,
    /// A model of another program; it has no name in a configuration.
    Imported,
}

const NAMES: [(&str, Algorithm); 10] = [
    ("LinearRegression", Algorithm::LinearRegression),
    ("Ridge", Algorithm::Ridge),
    ("Lasso", Algorithm::Lasso),
    ("ElasticNet", Algorithm::ElasticNet),
    ("RandomForest", Algorithm::RandomForest),
    ("ExtraTrees", Algorithm::ExtraTrees),
    ("GradientBoosting", Algorithm::GradientBoosting),
    ("HistGradientBoosting", Algorithm::HistGradientBoosting),
    ("SVR", Algorithm::Svr),
    ("Blend", Algorithm::Blend),
];

impl Algorithm {
    /// The algorithm called `name`; the endings `Regressor` and `Regression` are optional.
    ///
    /// # Errors
    /// If it does not exist; the message lists all names.
    pub fn parse(name: &str) -> Result<Self, String> {
        let short = |name: &str| name.trim_end_matches("Regressor").trim_end_matches("Regression").to_lowercase();
        NAMES.iter().find(|(known, _)| short(known) == short(name)).map(|(_, algorithm)| *algorithm).ok_or_else(|| {
            let known = NAMES.map(|(name, _)| name).join(", ");
            format!("model.best_model: algorithm \"{name}\" does not exist; the algorithms are {known}")
        })
    }

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, algorithm)| *algorithm == self).map_or("Imported", |(name, _)| name)
    }

    /// True if it fits trees.
    pub fn grows_trees(self) -> bool {
        matches!(self, Self::RandomForest | Self::ExtraTrees | Self::GradientBoosting | Self::HistGradientBoosting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_have_the_names_of_scikit_learn() {
        assert_eq!(
            Algorithm::parse("CatBoost").unwrap_err(),
            "model.best_model: algorithm \"CatBoost\" does not exist; the algorithms are LinearRegression, Ridge, Lasso, ElasticNet, \
             RandomForest, ExtraTrees, GradientBoosting, HistGradientBoosting, SVR, Blend"
        );
        assert_eq!(Algorithm::parse("GradientBoostingRegressor"), Ok(Algorithm::GradientBoosting));
        assert_eq!(Algorithm::parse("svr"), Ok(Algorithm::Svr));
        assert_eq!(Algorithm::parse("ExtraTreesRegressor"), Ok(Algorithm::ExtraTrees));
    }
}
