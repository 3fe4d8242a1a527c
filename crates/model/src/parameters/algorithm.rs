//! The algorithms, by name.

/// The algorithms.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Algorithm {
    /// Ordinary least squares.
    LinearRegression,
    /// Least squares with a squared penalty.
    Ridge,
    /// Least squares with an absolute penalty.
    Lasso,
    /// Least squares with both.
    ElasticNet,
    /// Averaged trees on bootstrap samples.
    RandomForest,
    /// As that, with thresholds drawn at random.
    ExtraTrees,
    /// Trees, each fitted to what the ones before it leave: with the parameters and defaults of scikit-learn's class of this name.
    GradientBoosting,
    /// The same, grown leaf by leaf, with defaults that go by the size of the table.
    HistGradientBoosting,
    /// Support vectors with a radial kernel.
    Svr,
    /// A weighted mean of others.
    Blend,
    /// Trained elsewhere; it has no name in a configuration.
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
    /// The algorithm called `name`, with or without `Regressor` or `Regression` behind it.
    ///
    /// # Errors
    /// If there is none: lists those there are.
    pub fn parse(name: &str) -> Result<Self, String> {
        let short = |name: &str| name.trim_end_matches("Regressor").trim_end_matches("Regression").to_lowercase();
        NAMES.iter().find(|(known, _)| short(known) == short(name)).map(|(_, algorithm)| *algorithm).ok_or_else(|| {
            let known = NAMES.map(|(name, _)| name).join(", ");
            format!("model.best_model: there is no algorithm \"{name}\"; there are {known}")
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, algorithm)| *algorithm == self).map_or("Imported", |(name, _)| name)
    }

    /// Whether it grows trees.
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
            "model.best_model: there is no algorithm \"CatBoost\"; there are LinearRegression, Ridge, Lasso, ElasticNet, \
             RandomForest, ExtraTrees, GradientBoosting, HistGradientBoosting, SVR, Blend"
        );
        assert_eq!(Algorithm::parse("GradientBoostingRegressor"), Ok(Algorithm::GradientBoosting));
        assert_eq!(Algorithm::parse("svr"), Ok(Algorithm::Svr));
        assert_eq!(Algorithm::parse("ExtraTreesRegressor"), Ok(Algorithm::ExtraTrees));
    }
}
