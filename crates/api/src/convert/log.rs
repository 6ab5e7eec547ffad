//! What flows: watched events, logs, outcomes of images.

use super::{OnWire, Reader, list};
use crate::{ImagesPage, LogChunk, WatchItem, wire};

impl OnWire for WatchItem {
    type Wire = wire::WatchReply;

    fn to_wire(self) -> Self::Wire {
        use wire::watch_reply::Item;
        let item = match self {
            Self::Event(event) => Item::Event(event.to_wire()),
            Self::Progress(job, progress) => {
                Item::Progress(wire::JobProgress { job: job.to_wire(), progress: Some(progress.to_wire()) })
            }
        };
        wire::WatchReply { item: Some(item) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        use wire::watch_reply::Item;
        let wire::WatchReply { item } = wire;
        match item {
            Some(Item::Event(event)) => reader.field("event", event).map(Self::Event),
            Some(Item::Progress(wire::JobProgress { job, progress })) => {
                let job = reader.field("job", job);
                let progress = reader.required("progress", progress);
                Some(Self::Progress(job?, progress?))
            }
            None => reader.missing(),
        }
    }
}

impl OnWire for LogChunk {
    type Wire = wire::LogsReply;

    fn to_wire(self) -> Self::Wire {
        let Self { attempt, offset, bytes } = self;
        wire::LogsReply { attempt: attempt.to_wire(), offset, content: bytes }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::LogsReply { attempt, offset, content } = wire;
        Some(Self { attempt: reader.field("attempt", attempt)?, offset, bytes: content })
    }
}

impl OnWire for ImagesPage {
    type Wire = wire::ImagesReply;

    fn to_wire(self) -> Self::Wire {
        let Self { evaluation, attack, images } = self;
        wire::ImagesReply { images: list(images), evaluation, attack: Some(attack.to_wire()) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::ImagesReply { images, evaluation, attack } = wire;
        let attack = reader.required("attack", attack);
        let images = reader.list("images", images);
        Some(Self { evaluation, attack: attack?, images: images? })
    }
}
