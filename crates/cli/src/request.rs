//! Requests that the daemon knows by a name, so that a repeated one has no second effect.

use std::cell::Cell;

use rrm_api::ApiError;
use rrm_spec::RequestId;
use uuid::Uuid;

use crate::{
    arguments::Command,
    exit::{Exit, Failure},
};

/// A command's request. Its id is made before the first try and kept over all of them: however often it is sent, it has one effect.
#[derive(Debug)]
pub(crate) struct Request {
    id: RequestId,
    stage: Cell<Stage>,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was sent.
    Unsent,
    /// It was sent: nobody knows whether it has arrived.
    Sent,
    /// The daemon has said what became of it.
    Answered,
}

impl Request {
    /// The request that a command makes, if it makes one, under the id that the user gave it or a fresh one.
    pub(crate) fn of(command: &Command) -> Result<Self, Failure> {
        let given = match command {
            Command::Submit(arguments) => arguments.request_id.clone(),
            Command::Retry(arguments) => arguments.request_id.clone(),
            Command::Preempt(arguments) => arguments.request_id.clone(),
            _ => None,
        };
        Ok(Self::new(given.map_or_else(fresh_id, Ok)?))
    }

    fn new(id: RequestId) -> Self {
        Self { id, stage: Cell::new(Stage::Unsent) }
    }

    /// Makes the call, and keeps in mind how far it has come.
    pub(crate) async fn send<T>(&self, call: impl AsyncFnOnce(RequestId) -> Result<T, ApiError>) -> Result<T, Failure> {
        self.stage.set(Stage::Sent);
        let failure = match call(self.id.clone()).await {
            Err(error) => Failure::from(error),
            Ok(answer) => {
                self.stage.set(Stage::Answered);
                return Ok(answer);
            }
        };
        if failure.is_unreachable() {
            return Err(failure.next(format!("check that rrmd runs; then {}", self.repetition())));
        }
        self.stage.set(Stage::Answered);
        Err(failure)
    }

    /// What to do where the command ends before anybody knows what became of its request; nothing where there is no such doubt.
    pub(crate) fn doubt(&self) -> Option<String> {
        match self.stage.get() {
            Stage::Sent => Some(format!("it may have been stored: look with `rrm list`, or {}", self.repetition())),
            Stage::Unsent | Stage::Answered => None,
        }
    }

    fn repetition(&self) -> String {
        format!("repeat it with --request-id {}, which cannot do it twice", self.id.as_str())
    }
}

fn fresh_id() -> Result<RequestId, Failure> {
    let text = Uuid::now_v7().to_string();
    text.parse().map_err(|error| Failure::new(Exit::Failed, format!("make a request id: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request::new("0190-request".parse().unwrap())
    }

    #[test]
    fn request_ids_are_fresh() {
        assert_ne!(fresh_id().unwrap(), fresh_id().unwrap());
    }

    #[tokio::test]
    async fn an_unanswered_request_says_how_to_repeat_it_safely() {
        let request = request();
        assert_eq!(request.doubt(), None, "nothing was sent");
        let lost = request.send(async |_| Err::<(), _>(ApiError::Unavailable { what: "no answer".into() })).await;
        let lost = lost.unwrap_err().to_string();
        assert!(lost.contains("repeat it with --request-id 0190-request, which cannot do it twice"), "{lost}");
        assert!(request.doubt().unwrap().contains("--request-id 0190-request"));
    }

    #[tokio::test]
    async fn an_answered_request_leaves_no_doubt() {
        let request = request();
        let sent = request.send(async |id| Ok::<_, ApiError>(id.as_str().to_owned())).await.unwrap();
        assert_eq!(sent, "0190-request");
        assert_eq!(request.doubt(), None);
        let refused = request.send(async |_| Err::<(), _>(ApiError::Conflict { what: "other plan".into() })).await;
        assert!(!refused.unwrap_err().to_string().contains("--request-id"));
        assert_eq!(request.doubt(), None);
    }

    #[tokio::test]
    async fn a_request_whose_answer_does_not_come_may_have_been_stored() {
        let request = request();
        tokio::select! {
            biased;
            _ = request.send(async |_| std::future::pending::<Result<(), ApiError>>().await) => unreachable!(),
            () = std::future::ready(()) => {}
        }
        let doubt = request.doubt().unwrap();
        assert!(doubt.starts_with("it may have been stored: look with `rrm list`, or repeat it"), "{doubt}");
    }
}
