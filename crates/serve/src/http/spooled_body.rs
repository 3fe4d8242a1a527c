//! Stores a long response before it is sent: in memory first, and on disk when it grows.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Seek, Write},
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use futures_util::{
    Stream,
    stream::{iter, unfold},
};
use serde_json::json;

use crate::{admission::memory_budget::RESPONSE_MEMORY_BYTES, http::error::ApiError, state::AppState};

/// Bytes written and sent at a time.
const CHUNK_BYTES: usize = 1 << 17;
/// The maximum length of a response, as a multiple of the maximum length of a stream.
const RESPONSE_TO_STREAM_RATIO: u64 = 4;

/// A response body that is written before it is sent.
#[derive(Debug)]
pub(crate) struct SpooledBody {
    chunks: Vec<Vec<u8>>,
    file: Option<BufWriter<File>>,
    length: u64,
    max_length: u64,
}

impl SpooledBody {
    /// An empty body. It may grow to a multiple of `max_stream`, the maximum bytes of a stream.
    pub(crate) fn new(max_stream: u64) -> Self {
        let max_length = max_stream.saturating_mul(RESPONSE_TO_STREAM_RATIO).max(RESPONSE_MEMORY_BYTES as u64);
        Self { chunks: Vec::new(), file: None, length: 0, max_length }
    }

    /// Appends a text, without copying it while it stays in memory.
    ///
    /// # Errors
    /// If the disk cannot be written, or the response exceeds its maximum length.
    pub(crate) fn push(&mut self, text: Vec<u8>) -> io::Result<()> {
        self.grow(text.len())?;
        if let Some(file) = &mut self.file {
            return file.write_all(&text);
        }
        self.chunks.push(text);
        Ok(())
    }

    /// Reserves `bytes` more bytes.
    fn grow(&mut self, bytes: usize) -> io::Result<()> {
        self.length += bytes as u64;
        if self.length > self.max_length {
            let message = format!("the response is longer than {} bytes", self.max_length);
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, message));
        }
        if self.file.is_none() && self.length > RESPONSE_MEMORY_BYTES as u64 {
            let mut file = BufWriter::with_capacity(CHUNK_BYTES, tempfile::tempfile()?);
            for chunk in std::mem::take(&mut self.chunks) {
                file.write_all(&chunk)?;
            }
            self.file = Some(file);
        }
        Ok(())
    }

    /// The response.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub(crate) fn into_response(self, media_type: &'static str) -> io::Result<Response> {
        let length = self.length;
        let body = match self.file {
            None => Body::from_stream(in_memory(self.chunks)),
            Some(file) => {
                let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                file.rewind()?;
                Body::from_stream(on_disk(file))
            }
        };
        let mut response = Response::new(body);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        Ok(response)
    }
}

impl Write for SpooledBody {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.grow(text.len())?;
        if let Some(file) = &mut self.file {
            file.write_all(text)?;
        } else if let Some(last) = self.chunks.last_mut().filter(|last| last.capacity() - last.len() >= text.len()) {
            last.extend_from_slice(text);
        } else {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES.max(text.len()));
            chunk.extend_from_slice(text);
            self.chunks.push(chunk);
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn in_memory(chunks: Vec<Vec<u8>>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    iter(chunks.into_iter().map(|chunk| Ok(Bytes::from(chunk))))
}

/// A file in chunks. No thread waits for the client: each chunk is read when it is needed.
fn on_disk(file: File) -> impl Stream<Item = io::Result<Bytes>> + Send {
    unfold(Some(file), |file| async move {
        let mut file = file?;
        let read = tokio::task::spawn_blocking(move || {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            Read::take(&mut file, CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
            Ok::<_, io::Error>((file, chunk))
        });
        match read.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok((_, chunk)) if chunk.is_empty() => None,
            Ok((file, chunk)) => Some((Ok(Bytes::from(chunk)), Some(file))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// Whether an error means that the response cannot be stored. Client rows are in no file, so the error is about the response's file.
pub(crate) fn is_storage_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull
            | io::ErrorKind::FileTooLarge
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::NotFound
    )
}

/// The error where a response cannot be stored.
pub(crate) fn storage_error(app: &AppState, error: &io::Error) -> ApiError {
    app.log.warn("response_not_stored", "cannot store a response on disk", json!({"error": error.to_string()}));
    let message = "the response is too long to store; send fewer rows at a time";
    ApiError::new(StatusCode::INSUFFICIENT_STORAGE, message)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn sent(spool: SpooledBody) -> Vec<u8> {
        let response = spool.into_response("text/csv").unwrap();
        let length: usize = response.headers()[header::CONTENT_LENGTH].to_str().unwrap().parse().unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.len(), length);
        body.to_vec()
    }

    #[tokio::test]
    async fn an_answer_is_the_same_in_memory_and_on_the_disk() {
        for pieces in [0_usize, 1, 100, 40_000] {
            let mut spool = SpooledBody::new(1 << 30);
            let mut expected = Vec::new();
            for piece in 0..pieces {
                let text = format!("{piece},{}\n", "x".repeat(piece % 300)).into_bytes();
                expected.extend_from_slice(&text);
                if piece % 3 == 0 { spool.push(text).unwrap() } else { spool.write_all(&text).unwrap() }
            }
            assert_eq!(spool.file.is_some(), expected.len() > RESPONSE_MEMORY_BYTES);
            assert!(sent(spool).await == expected);
        }
    }

    #[test]
    fn an_answer_has_an_end() {
        let mut spool = SpooledBody::new(2 << 20);
        let error = (0..100).find_map(|_| spool.push(vec![0; 1 << 20]).err()).unwrap();
        assert!(is_storage_error(&error) && error.to_string() == "the response is longer than 8388608 bytes");
    }
}
