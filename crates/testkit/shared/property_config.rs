//! The configuration of property tests. Their crates include this file, because no crate depends on `testkit`.

use std::env;

use proptest::{prelude::ProptestConfig, test_runner::RngSeed};

/// The same `cases` cases in every run; `PROPTEST_CASES` and `PROPTEST_RNG_SEED` replace their number and their seed.
pub(crate) fn property_config(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(1);
    }
    config
}
