//! Properties of imported models: they predict as the formats of LightGBM and XGBoost define, and damaged files are errors.

#[path = "../../../testkit/shared/property_config.rs"]
mod property_config;

mod ensemble;
mod import;
mod lightgbm;
mod xgboost;
