//! The model card.

pub(crate) mod document;
pub(crate) mod model_card;
