//! Access control, limits and memory budgets of requests.

pub(crate) mod address;
pub(crate) mod auth;
pub(crate) mod eviction;
pub(crate) mod limits;
pub(crate) mod memory_budget;
pub(crate) mod message_memory;
pub(crate) mod permits;
pub(crate) mod unfinished_bodies;
pub(crate) mod work;
