//! Heads, bodies and errors of requests and responses.

pub(crate) mod body;
pub(crate) mod body_buffer;
pub(crate) mod clock;
pub(crate) mod endpoint;
pub(crate) mod error;
pub(crate) mod gzip;
pub(crate) mod head;
pub(crate) mod request_id;
pub(crate) mod spooled_body;
