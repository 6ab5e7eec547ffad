//! Wishes of users.

use super::*;

pub(in crate::convert::tests) fn change() -> impl Strategy<Value = (Vec<JobId>, JobChange)> {
    let change =
        prop_oneof![Just(JobChange::Hold), Just(JobChange::Release), any::<i32>().prop_map(JobChange::Priority),];
    (vec(job_id(), 0..3), change)
}

pub(in crate::convert::tests) fn preemption() -> impl Strategy<Value = (RequestId, Vec<JobId>, AfterPreemption)> {
    (request_id(), vec(job_id(), 0..3), select(vec![AfterPreemption::Queue, AfterPreemption::Hold]))
}

pub(in crate::convert::tests) fn retry() -> impl Strategy<Value = (RequestId, Vec<JobId>, RetryWish)> {
    let begin = select(vec![RetryBegin::Checkpoint, RetryBegin::Scratch]);
    let dependents = select(vec![Dependents::Leave, Dependents::Retry]);
    let wish = (begin, dependents, of(time_limit())).prop_map(|(begin, dependents, time_limit)| RetryWish {
        begin,
        dependents,
        time_limit,
    });
    (request_id(), vec(job_id(), 0..3), wish)
}

pub(in crate::convert::tests) fn retried() -> impl Strategy<Value = Retried> {
    (job_id(), job_id(), text(), any::<u32>()).prop_map(|(job, retry_of, name, resumes_after)| Retried {
        job,
        retry_of,
        name,
        resumes_after,
    })
}

pub(in crate::convert::tests) fn drain_view() -> impl Strategy<Value = DrainView> {
    let target = prop_oneof![
        Just(DrainTarget::Daemon),
        "[a-z]{1,9}".prop_map(DrainTarget::Node),
        worker_id().prop_map(DrainTarget::Worker),
    ];
    (target, select(vec![DrainHow::Finish, DrainHow::Now]), any::<i64>()).prop_map(|(target, how, since)| DrainView {
        target,
        how,
        since,
    })
}
