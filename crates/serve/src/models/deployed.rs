//! The deployed models, and the split of requests between them.

use std::{hash::BuildHasher, sync::Arc};

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use rustc_hash::FxBuildHasher;

use crate::{
    http::error::ApiError,
    models::{load::DeployedModel, role::Role},
};

/// The header that selects one of the models.
const MODEL_HEADER: &str = "x-model";

/// The models that serve requests.
#[derive(Debug)]
pub(crate) struct DeployedModels {
    pub(crate) champion: Arc<DeployedModel>,
    pub(crate) challenger: Option<Arc<DeployedModel>>,
    /// The OpenAPI document.
    pub(crate) openapi: String,
}

/// The split of requests between the models.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrafficSplit {
    /// The share of requests that the challenger serves, from 0 to 1.
    pub(crate) share: f64,
    /// The header whose value selects the model; without one, the request id does.
    pub(crate) key: Option<String>,
}

impl DeployedModels {
    /// Each model with the name of its role.
    pub(crate) fn roles(&self) -> Vec<(&'static str, &DeployedModel)> {
        let challenger = self.challenger.iter().map(|model| (Role::Challenger.name(), &**model));
        [(Role::Champion.name(), &*self.champion)].into_iter().chain(challenger).collect()
    }

    /// The model that serves a request.
    ///
    /// # Errors
    /// If the request asks for a model that is not deployed.
    pub(crate) fn route<'a>(
        &'a self,
        split: &TrafficSplit,
        headers: &HeaderMap,
        request_id: &str,
    ) -> Result<(Role, &'a Arc<DeployedModel>), ApiError> {
        let champion = || Ok((Role::Champion, &self.champion));
        let requested = headers.get(MODEL_HEADER).map(|value| value.to_str().unwrap_or_default());
        let Some(challenger) = &self.challenger else {
            return match requested {
                None | Some("champion") => champion(),
                Some("challenger") => Err(ApiError::bad_request("x-model: this server has no challenger")),
                Some(other) => Err(unknown_model(other)),
            };
        };
        match requested {
            Some("champion") => return champion(),
            Some("challenger") => return Ok((Role::Challenger, challenger)),
            Some(other) => return Err(unknown_model(other)),
            None => {}
        }
        if split.share <= 0.0 {
            return champion();
        }
        let key = split.key.as_ref().and_then(|key| headers.get(key)).map(HeaderValue::as_bytes);
        let hash = FxBuildHasher.hash_one(key.unwrap_or(request_id.as_bytes()));
        // the highest bits are well mixed
        let position = (hash >> 11) as f64 / (1_u64 << 53) as f64;
        if position < split.share { Ok((Role::Challenger, challenger)) } else { champion() }
    }
}

fn unknown_model(name: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, format!("{MODEL_HEADER}: \"{name}\" is neither champion nor challenger"))
}
