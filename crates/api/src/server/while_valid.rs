//! Streams that end with the token that they were asked for with.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio_stream::Stream;

use crate::{ApiError, Replies};

/// Completes when a token is no longer valid.
pub(super) type TokenEnd = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The replies until `end` completes, and then [`ApiError::Unauthenticated`] in place of the rest.
pub(super) fn while_valid<T: 'static>(replies: Replies<T>, end: TokenEnd) -> Replies<T> {
    Box::pin(WhileValid { replies, end: Some(end) })
}

struct WhileValid<T> {
    replies: Replies<T>,
    /// Absent once it has completed.
    end: Option<TokenEnd>,
}

impl<T> Stream for WhileValid<T> {
    type Item = Result<T, ApiError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(end) = &mut self.end else { return Poll::Ready(None) };
        // Before each reply: one that waits must not get out any more.
        if end.as_mut().poll(context).is_ready() {
            self.end = None;
            return Poll::Ready(Some(Err(ApiError::Unauthenticated)));
        }
        self.replies.as_mut().poll_next(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use tokio_stream::{StreamExt, iter, pending};

    use super::*;

    fn until(ended: oneshot::Receiver<()>) -> TokenEnd {
        Box::pin(async { drop(ended.await) })
    }

    #[tokio::test]
    async fn replies_end_with_the_token_also_while_none_comes() {
        let (revoke, revoked) = oneshot::channel();
        let mut replies = while_valid(Box::pin(iter([Ok(1)]).chain(pending())), until(revoked));
        assert_eq!(replies.next().await, Some(Ok(1)));
        let waiting = tokio::spawn(async move { (replies.next().await, replies.next().await) });
        revoke.send(()).unwrap();
        assert_eq!(waiting.await.unwrap(), (Some(Err(ApiError::Unauthenticated)), None));
    }

    #[tokio::test]
    async fn what_waits_when_the_token_ends_does_not_get_out() {
        let (revoke, revoked) = oneshot::channel();
        let mut replies = while_valid(Box::pin(iter([Ok(1), Ok(2)])), until(revoked));
        assert_eq!(replies.next().await, Some(Ok(1)));
        revoke.send(()).unwrap();
        assert_eq!(replies.next().await, Some(Err(ApiError::Unauthenticated)));
    }

    #[tokio::test]
    async fn replies_end_as_they_would_while_the_token_is_valid() {
        let mut replies = while_valid(Box::pin(iter([Ok(1)])), Box::pin(std::future::pending()));
        assert_eq!((replies.next().await, replies.next().await), (Some(Ok(1)), None));
    }
}
