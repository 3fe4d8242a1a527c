//! The endpoints and the listeners: closed sets, by which metrics and limits are kept.

/// An endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Endpoint {
    Predict,
    Batch,
    Explain,
    Feedback,
    Infer,
    Health,
    Live,
    Ready,
    Model,
    V2,
    Metrics,
    OpenApi,
    Docs,
    Page,
    Other,
}

impl Endpoint {
    pub(crate) const ALL: [Self; 15] = [
        Self::Predict,
        Self::Batch,
        Self::Explain,
        Self::Feedback,
        Self::Infer,
        Self::Health,
        Self::Live,
        Self::Ready,
        Self::Model,
        Self::V2,
        Self::Metrics,
        Self::OpenApi,
        Self::Docs,
        Self::Page,
        Self::Other,
    ];

    /// The name in metrics and logs.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Predict => "/predict",
            Self::Batch => "/batch-predict",
            Self::Explain => "/explain",
            Self::Feedback => "/feedback",
            Self::Infer => "/v2/models/{name}/infer",
            Self::Health => "/health",
            Self::Live => "/health/live",
            Self::Ready => "/health/ready",
            Self::Model => "/model",
            Self::V2 => "/v2",
            Self::Metrics => "/metrics",
            Self::OpenApi => "/openapi.json",
            Self::Docs => "/docs",
            Self::Page => "/",
            Self::Other => "other",
        }
    }

    /// Whether it uses the model, so that it may be rejected under load.
    pub(crate) fn is_work(self) -> bool {
        matches!(self, Self::Predict | Self::Batch | Self::Explain | Self::Feedback | Self::Infer)
    }

    /// Whether it is a health probe, which is served under any load.
    pub(crate) fn is_probe(self) -> bool {
        matches!(self, Self::Health | Self::Live | Self::Ready)
    }

    /// Whether it needs an API key if the server has keys. Endpoints that disclose nothing of the model do not.
    pub(crate) fn needs_key(self) -> bool {
        !matches!(self, Self::Health | Self::Live | Self::Ready | Self::Page | Self::Docs | Self::Other)
    }
}

/// The listener of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Listener {
    /// The API and the page.
    Api,
    /// Metrics and probes only. It needs no key.
    Metrics,
}

#[cfg(test)]
mod tests {
    use super::Endpoint;
    use crate::server::routes::ROUTES;

    #[test]
    fn every_endpoint_has_a_place_and_a_route() {
        for (place, endpoint) in Endpoint::ALL.into_iter().enumerate() {
            assert_eq!(endpoint as usize, place);
            let routed = ROUTES.iter().any(|route| route.path == endpoint.path() && route.endpoint == endpoint);
            assert_eq!(routed, endpoint != Endpoint::Other, "{}", endpoint.path());
        }
    }
}
