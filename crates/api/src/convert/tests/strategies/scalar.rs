//! Texts, numbers and names.

use super::*;

pub(in crate::convert::tests) fn text() -> impl Strategy<Value = String> {
    "[a-zäß /:.\\[\\]=0-9-]{0,12}"
}

/// Also values that NaN-free plans cannot have: views are read without checking ranges.
pub(in crate::convert::tests) fn number() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>().prop_filter("NaN is not equal to itself", |x| !x.is_nan()), 0.0..1.0f64]
}

pub(in crate::convert::tests) fn positive() -> impl Strategy<Value = NonZeroU32> {
    any::<NonZeroU32>()
}

pub(in crate::convert::tests) fn job_id() -> impl Strategy<Value = JobId> {
    (1..=i64::MAX).prop_map(JobId)
}

pub(in crate::convert::tests) fn attempt_id() -> impl Strategy<Value = AttemptId> {
    (1..=i64::MAX).prop_map(AttemptId)
}

pub(in crate::convert::tests) fn worker_id() -> impl Strategy<Value = WorkerId> {
    (1..=i64::MAX).prop_map(WorkerId)
}

pub(in crate::convert::tests) fn submission_id() -> impl Strategy<Value = SubmissionId> {
    (1..=i64::MAX).prop_map(SubmissionId)
}

pub(in crate::convert::tests) fn hash() -> impl Strategy<Value = ArtifactHash> {
    "[0-9a-f]{64}".prop_map(|text| text.parse().unwrap())
}

pub(in crate::convert::tests) fn request_id() -> impl Strategy<Value = RequestId> {
    "[0-9a-zA-Z-]{8,64}".prop_map(|text| text.parse().unwrap())
}

pub(in crate::convert::tests) fn epsilon() -> impl Strategy<Value = Epsilon> {
    let fraction = (0..256u32).prop_map(|k| format!("{k}/255").parse().unwrap());
    prop_oneof![fraction, (0.0..1.0f64).prop_map(Epsilon::from)]
}

pub(in crate::convert::tests) fn network_name() -> impl Strategy<Value = NetworkName> {
    "[a-zA-Z][a-zA-Z0-9._-]{0,9}".prop_map(|name| name.parse().expect("a name"))
}

pub(in crate::convert::tests) fn accuracy() -> impl Strategy<Value = Accuracy> {
    any::<u64>().prop_flat_map(|total| (0..=total).prop_map(move |correct| Accuracy { correct, total }))
}

pub(in crate::convert::tests) fn time_limit() -> impl Strategy<Value = TimeLimit> {
    (1..=31_536_000_u64).prop_map(|seconds| TimeLimit::from_seconds(seconds).unwrap())
}

pub(in crate::convert::tests) fn labels() -> impl Strategy<Value = Vec<Label>> {
    vec("[a-z][a-z0-9._-]{0,8}".prop_map(|text| text.parse().unwrap()), 0..3)
}

pub(in crate::convert::tests) fn user_name() -> impl Strategy<Value = UserName> {
    "[a-z][a-z0-9._@-]{0,8}".prop_map(|text| text.parse().unwrap())
}

pub(in crate::convert::tests) fn device() -> impl Strategy<Value = Device> {
    prop_oneof![Just(Device::Cpu), any::<u32>().prop_map(Device::Cuda)]
}
