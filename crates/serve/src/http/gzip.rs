//! Decodes gzip bodies while they arrive.

use std::{
    io::{self, Write},
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    BoxError,
    body::{Bytes, HttpBody},
};
use bytes::{Buf, BytesMut};
use flate2::write::MultiGzDecoder;
use hyper::body::Frame;

/// Parts that are decoded before yielding. The decoder makes up to 32 KiB of each, in about 30 microseconds.
const MAX_PARTS_PER_TURN: u32 = 1;

/// Bytes of memory that decoding takes: the window, the tables and a part.
pub(crate) const DECODER_BYTES: usize = 80 << 10;
/// Bytes read ahead of the decoder, so that the end of the body or connection is noticed before a thousand times as many are decoded.
pub(crate) const READ_AHEAD_BYTES: usize = 4 << 20;

/// The decoded form of a body. It holds one part of each, so that its reader bounds the whole.
pub(crate) struct GzipBody<B> {
    body: B,
    decoder: MultiGzDecoder<Vec<u8>>,
    /// Received bytes that are not decoded.
    input: BytesMut,
    /// More is read while the input has fewer bytes.
    wanted: usize,
    /// Whether the body has ended, and whether all is decoded.
    ended: bool,
    finished: bool,
    /// Parts since the last yield.
    parts: u32,
}

impl<B> GzipBody<B> {
    pub(crate) fn new(body: B) -> Self {
        let (decoder, input) = (MultiGzDecoder::new(Vec::new()), BytesMut::new());
        Self { body, decoder, input, wanted: 1, ended: false, finished: false, parts: 0 }
    }

    /// Reads [`READ_AHEAD_BYTES`] ahead, so that a disconnected client is noticed early: few bytes may decode to very many.
    pub(crate) fn read_ahead(&mut self) {
        self.wanted = READ_AHEAD_BYTES;
    }

    /// Decodes until there is output, or no input.
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
        let broken = |error: io::Error| -> BoxError { format!("invalid or truncated gzip: {error}").into() };
        loop {
            while !this.ended && this.input.len() < this.wanted {
                match Pin::new(&mut this.body).poll_frame(context) {
                    Poll::Ready(Some(Ok(frame))) => this.input.extend_from_slice(&frame.into_data().unwrap_or_default()),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                    Poll::Ready(None) => this.ended = true,
                    Poll::Pending if this.input.is_empty() => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            if this.parts >= MAX_PARTS_PER_TURN {
                this.parts = 0;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let part = this.decode().map_err(broken)?;
            if !part.is_empty() {
                this.parts += 1;
                return Poll::Ready(Some(Ok(Frame::data(part))));
            }
            if this.finished {
                return Poll::Ready(None);
            }
            if this.ended {
                this.finished = true;
                this.decoder.try_finish().map_err(broken)?;
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
        let [one, ahead] = [false, true].map(|is_ahead| {
            let mut body = GzipBody::new(Full::new(Bytes::from(bytes.clone())));
            if is_ahead {
                body.read_ahead();
            }
            runtime.block_on(body.collect()).map(|all| all.to_bytes().to_vec()).map_err(|error| error.to_string())
        });
        assert!(one == ahead);
        one
    }

    /// A body that ends too early.
    struct Cut(Option<Bytes>);

    impl HttpBody for Cut {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Ready(Some(self.0.take().map(Frame::data).ok_or("the connection is closed".into())))
        }
    }

    #[test]
    fn the_end_of_the_connection_is_seen_before_all_is_decoded() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let parts = |is_ahead: bool| {
            let mut body = GzipBody::new(Cut(Some(coded(&vec![b'x'; 20_000_000]).into())));
            if is_ahead {
                body.read_ahead();
            }
            let mut parts = 0;
            while let Some(Ok(_)) = runtime.block_on(body.frame()) {
                parts += 1;
            }
            parts
        };
        assert!(parts(false) > 600 && parts(true) == 0, "{} and {}", parts(false), parts(true));
    }

    #[test]
    fn what_was_coded_comes_back() {
        let long: Vec<u8> = (0..3_000_000_u32).flat_map(|n| (n / 3).to_le_bytes()).collect();
        for text in [&b""[..], b"{}", &long] {
            assert_eq!(decoded(coded(text)).unwrap(), text);
        }
        // concatenated members are one body
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
            assert!(error.starts_with("invalid or truncated gzip: "), "{bytes:?}: {error}");
        }
        assert!(decoded([whole, b"rest".to_vec()].concat()).is_err());
    }
}
