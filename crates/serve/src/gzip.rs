//! Bodies that come in gzip, decoded as they come.

use std::{
    io::{self, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    BoxError,
    body::{Bytes, HttpBody},
};
use bytes::Buf;
use flate2::write::MultiGzDecoder;
use hyper::body::Frame;

/// Parts that are decoded before others have a turn; the decoder makes up to 32 KiB of each, which takes it some 30 microseconds.
const PARTS: u32 = 1;

/// The decoded body of a body. It holds one part of each: who reads it bounds the whole.
pub(crate) struct GzipBody<B> {
    body: B,
    decoder: MultiGzDecoder<Vec<u8>>,
    /// What came and is not decoded.
    input: Bytes,
    ended: bool,
    /// Parts since others had a turn.
    parts: u32,
}

impl<B> GzipBody<B> {
    pub(crate) fn new(body: B) -> Self {
        Self { body, decoder: MultiGzDecoder::new(Vec::new()), input: Bytes::new(), ended: false, parts: 0 }
    }

    /// Decodes until there is something, or nothing left to decode.
    fn decode(&mut self) -> io::Result<Bytes> {
        while !self.input.is_empty() && self.decoder.get_ref().is_empty() {
            match self.decoder.write(&self.input)? {
                0 => return Err(io::ErrorKind::InvalidData.into()),
                taken => self.input.advance(taken),
            }
        }
        Ok(std::mem::take(self.decoder.get_mut()).into())
    }
}

impl<B> HttpBody for GzipBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let broken = |error: io::Error| -> BoxError { format!("it is not whole gzip: {error}").into() };
        loop {
            if this.parts >= PARTS {
                this.parts = 0;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let part = this.decode().map_err(broken)?;
            if !part.is_empty() {
                this.parts += 1;
                return Poll::Ready(Some(Ok(Frame::data(part))));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Ok(frame)) => this.input = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => {
                    this.ended = true;
                    this.decoder.try_finish().map_err(broken)?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use http_body_util::{BodyExt, Full};

    use super::*;

    fn coded(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = GzipBody::new(Full::new(Bytes::from(bytes)));
        runtime.block_on(body.collect()).map(|all| all.to_bytes().to_vec()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_was_coded_comes_back() {
        let long: Vec<u8> = (0..3_000_000_u32).flat_map(|n| (n / 3).to_le_bytes()).collect();
        for text in [&b""[..], b"{}", &long] {
            assert_eq!(decoded(coded(text)).unwrap(), text);
        }
        // members one behind the other are one body
        assert_eq!(decoded([coded(b"one "), coded(b"two")].concat()).unwrap(), b"one two");
    }

    #[test]
    fn what_is_broken_is_refused() {
        let whole = coded(b"a text that is coded");
        let mut changed = whole.clone();
        let last = changed.len() - 6;
        changed[last] ^= 1;
        for bytes in [vec![], b"plain".to_vec(), whole[..whole.len() - 1].to_vec(), whole[..12].to_vec(), changed] {
            let error = decoded(bytes.clone()).unwrap_err();
            assert!(error.starts_with("it is not whole gzip: "), "{bytes:?}: {error}");
        }
        assert!(decoded([whole, b"rest".to_vec()].concat()).is_err());
    }
}
