//! Names of requests, by which the daemon knows a repeated one.

use rrm_spec::RequestId;
use uuid::Uuid;

use crate::exit::{Exit, Failure};

/// Made before the first try and kept over all of them: however often the request is sent, it has one effect.
pub(crate) fn fresh_id() -> Result<RequestId, Failure> {
    let text = Uuid::now_v7().to_string();
    text.parse().map_err(|error| Failure::new(Exit::Failed, format!("make a request id: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_fresh() {
        assert_ne!(fresh_id().unwrap(), fresh_id().unwrap());
    }
}
