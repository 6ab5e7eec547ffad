//! Bytes of artifacts in pieces, hashed on their way.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use rrm_spec::{ArtifactHash, Violations};
use sha2::{Digest, Sha256};
use tokio::io::AsyncRead;
use tokio_stream::{Stream, StreamExt};
use tokio_util::io::ReaderStream;

use crate::{ApiError, Replies};

/// Size of a piece: large enough that a call's overhead does not matter, small enough to hold many at once.
const PIECE_BYTES: usize = 256 * 1024;

/// A stream of bytes that ends with an error unless exactly the expected bytes came.
pub(crate) struct Verified {
    pieces: Replies<Bytes>,
    hasher: Sha256,
    seen: u64,
    expected: Expected,
    over: bool,
}

/// What must come.
pub(crate) struct Expected {
    pub(crate) sha256: ArtifactHash,
    /// Absent where only the hash is known.
    pub(crate) bytes: Option<u64>,
}

impl Verified {
    pub(crate) fn new(pieces: Replies<Bytes>, expected: Expected) -> Self {
        Self { pieces, hasher: Sha256::new(), seen: 0, expected, over: false }
    }

    fn count(&mut self, piece: &Bytes) -> Result<(), ApiError> {
        self.hasher.update(piece);
        self.seen += piece.len() as u64;
        match self.expected.bytes {
            Some(bytes) if self.seen > bytes => Err(wrong("bytes", format!("{} or more", self.seen), bytes)),
            _ => Ok(()),
        }
    }

    fn conclude(&mut self) -> Result<(), ApiError> {
        let hash = hex::encode(self.hasher.finalize_reset());
        match self.expected.bytes {
            Some(bytes) if self.seen != bytes => Err(wrong("bytes", self.seen, bytes)),
            _ if hash != self.expected.sha256.as_str() => Err(wrong("sha256", hash, &self.expected.sha256)),
            _ => Ok(()),
        }
    }
}

fn wrong(field: &str, came: impl ToString, expected: impl std::fmt::Display) -> ApiError {
    let field = format!("artifact.{field}");
    Violations::one(field, came.to_string(), format!("must be {expected}, as announced")).into()
}

impl Stream for Verified {
    type Item = Result<Bytes, ApiError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let item = match ready!(self.pieces.as_mut().poll_next(context)) {
            Some(piece) => Some(piece.and_then(|piece| self.count(&piece).map(|()| piece))),
            None => {
                self.over = true;
                self.conclude().err().map(Err)
            }
        };
        self.over |= matches!(item, Some(Err(_)));
        Poll::Ready(item)
    }
}

/// The content in pieces.
pub(crate) fn pieces(content: impl AsyncRead + Send + 'static) -> Replies<Bytes> {
    let unreadable = |e: std::io::Error| ApiError::Internal { what: format!("an artifact cannot be read: {e}") };
    Box::pin(ReaderStream::with_capacity(content, PIECE_BYTES).map(move |piece| piece.map_err(unreadable)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_of(content: &[u8]) -> ArtifactHash {
        hex::encode(Sha256::digest(content)).parse().unwrap()
    }

    async fn verified(content: &'static [u8], expected: &[u8]) -> Result<Vec<u8>, ApiError> {
        let expected = Expected { sha256: hash_of(expected), bytes: Some(expected.len() as u64) };
        let pieces: Vec<_> = Verified::new(pieces(content), expected).collect().await;
        pieces.into_iter().collect::<Result<Vec<Bytes>, _>>().map(|pieces| pieces.concat())
    }

    #[tokio::test]
    async fn the_right_bytes_pass() {
        assert_eq!(verified(b"weights", b"weights").await.unwrap(), b"weights");
        assert_eq!(verified(b"", b"").await.unwrap(), b"");
    }

    #[tokio::test]
    async fn a_wrong_byte_a_missing_one_and_one_too_many_are_noticed() {
        for content in [&b"wEights"[..], b"weight", b"weightss"] {
            let error = verified(content, b"weights").await.unwrap_err();
            assert!(matches!(error, ApiError::Invalid(_)), "{error}");
        }
    }
}
