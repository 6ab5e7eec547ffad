//! Arbitrary bytes as messages, for the fuzzer in `fuzz/` and a test of its own.

use prost::Message;
use rrm_spec::{
    AfterPreemption, Assignment, AttemptId, HeartbeatReply, JobChange, JobDetail, JobId, JobSpec, Plan, Record,
    Registration, RequestId, RetryWish,
};

use crate::convert::{OnWire, read};
use crate::{AttemptEnd, ImagesPage, JobFilter, LogChunk, Source, Upload, WatchItem, Wishes};

/// Kinds of messages that [`read_message`] knows.
const KINDS: u8 = 16;

/// Reads `bytes` as a message of the kind that its first byte names, as a connection would; whether it is one.
///
/// # Panics
/// Where what was read is written as something that is read otherwise, or not at all: a bug.
pub fn read_message(bytes: &[u8]) -> bool {
    let Some((kind, message)) = bytes.split_first() else { return false };
    match kind % KINDS {
        0 => survives::<(RequestId, Plan, Source, Wishes)>(message),
        1 => survives::<JobSpec>(message),
        2 => survives::<Record>(message),
        3 => survives::<Registration>(message),
        4 => survives::<Assignment>(message),
        5 => survives::<HeartbeatReply>(message),
        6 => survives::<(AttemptId, u64, AttemptEnd)>(message),
        7 => survives::<JobDetail>(message),
        8 => survives::<WatchItem>(message),
        9 => survives::<ImagesPage>(message),
        10 => survives::<JobFilter>(message),
        11 => survives::<(Vec<JobId>, JobChange)>(message),
        12 => survives::<(RequestId, Vec<JobId>, AfterPreemption)>(message),
        13 => survives::<(RequestId, Vec<JobId>, RetryWish)>(message),
        14 => survives::<LogChunk>(message),
        _ => survives::<Upload>(message),
    }
}

fn survives<T: OnWire<Wire: Message + Default>>(message: &[u8]) -> bool {
    let Ok(wire) = T::Wire::decode(message) else { return false };
    let Ok(value) = read::<T>(wire) else { return false };
    let written = value.to_wire().encode_to_vec();
    let again = T::Wire::decode(written.as_slice()).expect("what was written is a message");
    let again = read::<T>(again).unwrap_or_else(|faults| panic!("what was read and written is refused: {faults}"));
    // Bytes, since numbers that are none are not equal to themselves.
    assert_eq!(again.to_wire().encode_to_vec(), written, "what was read and written is read as something else");
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rrm_spec::{Accuracy, Device, DeviceInfo, EpochRecord};

    use super::*;

    fn framed<T: OnWire<Wire: Message + Default>>(kind: u8, value: T) -> Vec<u8> {
        [&[kind][..], &value.to_wire().encode_to_vec()].concat()
    }

    fn messages() -> Vec<Vec<u8>> {
        let half = Accuracy { correct: 1, total: 2 };
        let epoch = EpochRecord {
            epoch: 1,
            train_us: 1,
            validation_us: 1,
            images: 2,
            learning_rate: 0.1,
            loss: 0.5,
            train: half,
            natural: half,
            robust: Some(half),
        };
        let devices =
            vec![DeviceInfo { device: Device::Cuda(3), name: "a card".into(), memory_mib: Some(24576), share: 2 }];
        let registration = Registration {
            node: "node".into(),
            version: "0.1.0".into(),
            boot_id: "boot-0123456789".into(),
            devices,
            labels: vec!["a100".parse().expect("a label")],
            code_version: "0.1.0+0123456789ab".into(),
        };
        let plan = Plan::from_toml(include_str!("../../../fuzz/seeds/plan/chain.toml")).expect("the seed is a plan");
        let source = Source { client_version: "0.1.0".into(), host: "desk".into() };
        let request: RequestId = "request-0123456789".parse().expect("it is a request id");
        vec![
            framed(0, (request, plan, source, Wishes::default())),
            framed(2, Record::Epoch(epoch)),
            framed(3, registration),
        ]
    }

    #[test]
    fn messages_are_read_and_noise_is_refused() {
        assert!(messages().iter().all(|message| read_message(message)));
        assert!(!read_message(&[]) && !read_message(&[2]) && !read_message(b"\x00\xff\xff\xff"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn arbitrary_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            read_message(&bytes);
        }

        #[test]
        fn a_message_with_changed_bytes_is_read_or_refused(
            which in 0..3_usize,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            end in any::<prop::sample::Index>(),
        ) {
            let mut message = messages().swap_remove(which);
            for (place, byte) in changes {
                let place = place.index(message.len());
                message[place] = byte;
            }
            read_message(&message[..=end.index(message.len())]);
            read_message(&message);
        }
    }
}
