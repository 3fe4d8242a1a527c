//! What can be asked for: a closed set, so that metrics and limits go by it.

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

    /// Its name in metrics and logs.
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

    /// Whether it makes the model work: what may be refused when there is too much of it.
    pub(crate) fn is_work(self) -> bool {
        matches!(self, Self::Predict | Self::Batch | Self::Explain | Self::Feedback | Self::Infer)
    }

    /// Whether it is asked whether the server is well: what is answered however much there is to do.
    pub(crate) fn is_probe(self) -> bool {
        matches!(self, Self::Health | Self::Live | Self::Ready)
    }

    /// Whether it asks for the key, where there is one: all but what tells nothing of the model.
    pub(crate) fn needs_key(self) -> bool {
        !matches!(self, Self::Health | Self::Live | Self::Ready | Self::Page | Self::Docs | Self::Other)
    }
}

/// Where a request comes in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Listener {
    /// The API and the page.
    Api,
    /// Metrics and probes and nothing else: who reaches it needs no key.
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
