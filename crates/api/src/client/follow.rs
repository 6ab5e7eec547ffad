//! Streams that outlive their connection.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{Client, unreadable};
use crate::{
    ApiError, Replies,
    convert::{OnWire, read},
};

/// Items that wait for a slow reader; the daemon is held up beyond them.
const WAITING: usize = 64;

/// A request that can be made again from where its stream broke off.
pub(super) trait Resumable: Clone + Send + Sync + 'static {
    type Item: OnWire<Wire: Send> + Send;

    /// Begins a stream after what has been seen.
    fn open(
        &self,
        client: &Client,
    ) -> impl Future<Output = Result<Streaming<<Self::Item as OnWire>::Wire>, ApiError>> + Send;

    /// Takes note of what has been seen.
    fn advance(&mut self, item: &Self::Item);
}

/// Opens a stream; when its connection breaks it is opened again after the last item, within the client's patience.
pub(super) async fn follow<R: Resumable>(client: Client, request: R) -> Result<Replies<R::Item>, ApiError> {
    let first = request.open(&client).await?;
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(pump(client, request, first, sender));
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

/// Ends with the stream, with the first error that trying again does not cure, or with the reader.
async fn pump<R: Resumable>(
    client: Client,
    mut request: R,
    mut stream: Streaming<<R::Item as OnWire>::Wire>,
    sender: mpsc::Sender<Result<R::Item, ApiError>>,
) {
    loop {
        let next = tokio::select! {
            next = stream.message() => next,
            () = sender.closed() => return,
        };
        let item = match next {
            Ok(None) => return,
            Ok(Some(wire)) => read::<R::Item>(wire).map_err(unreadable),
            Err(status) => match client.failure(&status) {
                error if error.is_transient() => match request.open(&client).await {
                    Ok(again) => {
                        stream = again;
                        continue;
                    }
                    Err(error) => Err(error),
                },
                error => Err(error),
            },
        };
        if let Ok(item) = &item {
            request.advance(item);
        }
        let over = item.is_err();
        if sender.send(item).await.is_err() || over {
            return;
        }
    }
}
