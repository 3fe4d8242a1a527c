//! The deployed models, and how requests are split between them.

use std::{hash::BuildHasher, sync::Arc};

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use rustc_hash::FxBuildHasher;

use crate::{
    http::error::ApiError,
    models::{load::DeployedModel, role::Role},
};

/// The header by which a caller asks for one of the models.
const MODEL_HEADER: &str = "x-model";

/// The models that answer.
#[derive(Debug)]
pub(crate) struct DeployedModels {
    pub(crate) champion: Arc<DeployedModel>,
    pub(crate) challenger: Option<Arc<DeployedModel>>,
    /// The description of the API.
    pub(crate) openapi: String,
}

/// How requests are split between the models.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrafficSplit {
    /// The share of requests that the challenger answers, from 0 to 1.
    pub(crate) share: f64,
    /// The header whose value decides; without one, the id of the request decides.
    pub(crate) key: Option<String>,
}

impl DeployedModels {
    /// Each model with the name of its role.
    pub(crate) fn roles(&self) -> Vec<(&'static str, &DeployedModel)> {
        let challenger = self.challenger.iter().map(|model| (Role::Challenger.name(), &**model));
        [(Role::Champion.name(), &*self.champion)].into_iter().chain(challenger).collect()
    }

    /// The model that answers a request.
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
        let wanted = headers.get(MODEL_HEADER).map(|value| value.to_str().unwrap_or_default());
        let Some(challenger) = &self.challenger else {
            return match wanted {
                None | Some("champion") => champion(),
                Some("challenger") => Err(ApiError::bad_request("there is no challenger here")),
                Some(other) => Err(unknown_model(other)),
            };
        };
        match wanted {
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
