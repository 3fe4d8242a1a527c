//! The role of a model among those that a server has loaded.

/// The role of a model.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    Champion,
    Challenger,
    /// The challenger, where it predicts in the background.
    Shadow,
}

impl Role {
    /// The role as metrics, logs and answers name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Champion => "champion",
            Self::Challenger => "challenger",
            Self::Shadow => "shadow",
        }
    }
}
