//! The role of a model in a server.

/// The role of a model.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    Champion,
    Challenger,
    /// The challenger that predicts in the background.
    Shadow,
}

impl Role {
    /// The name in metrics, logs and responses.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Champion => "champion",
            Self::Challenger => "challenger",
            Self::Shadow => "shadow",
        }
    }
}
