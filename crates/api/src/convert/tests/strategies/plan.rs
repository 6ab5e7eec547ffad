//! Plans and how they are sent, listed and followed.

use super::*;

/// A small valid plan.
pub(in crate::convert::tests) fn one_job_plan() -> Plan {
    Plan::from_toml(
        r#"
        name = "small"
        [[job]]
        name = "teacher"
        kind = "train"
        dataset = { name = "fashion-mnist" }
        arch = "dnn/4"
        method = { kind = "natural" }
        optimizer = { learning_rate = 0.1, schedule = { kind = "cosine" } }
        epochs = 2
        batch_size = 64
        seed = 0
        "#,
    )
    .unwrap()
}

/// Valid plans: what may vary without becoming invalid does.
pub(in crate::convert::tests) fn plan() -> impl Strategy<Value = Plan> {
    let requests = select(vec![DeviceRequest::Any, DeviceRequest::Cpu, DeviceRequest::Cuda]);
    let control = (any::<bool>(), of(time_limit()));
    let job = ("[a-z][a-z0-9]{0,12}", any::<i32>(), 0..=100_u32, requests, resource_request(), control);
    vec(job, 1..4).prop_map(|rows| {
        let spec = one_job_plan().jobs.remove(0).spec;
        let job = |(i, (name, priority, max_retries, device, request, (hold, time_limit)))| PlannedJob {
            name: format!("{name}[{i}]"),
            spec: spec.clone(),
            priority,
            max_retries,
            device,
            hold,
            time_limit,
            request,
        };
        Plan { name: "varied".to_owned(), jobs: rows.into_iter().enumerate().map(job).collect() }
    })
}

pub(in crate::convert::tests) fn submission() -> impl Strategy<Value = (RequestId, Plan, Source, Wishes)> {
    let source = (text(), text()).prop_map(|(client_version, host)| Source { client_version, host });
    let wishes = (select(vec![Reuse::Yes, Reuse::No]), select(vec![Strict::Yes, Strict::No]))
        .prop_map(|(reuse, strict)| Wishes { reuse, strict });
    (request_id(), plan(), source, wishes)
}

pub(in crate::convert::tests) fn submitted() -> impl Strategy<Value = Submitted> {
    let jobs = (vec((job_id(), text()), 0..3), vec(job_id(), 0..3));
    (submission_id(), jobs, any::<bool>(), vec(text(), 0..3)).prop_map(
        |(submission, (jobs, reused), already, warnings)| Submitted { submission, jobs, reused, already, warnings },
    )
}

pub(in crate::convert::tests) fn last_plan() -> impl Strategy<Value = LastPlan> {
    (submission_id(), text(), user_name()).prop_map(|(submission, name, owner)| LastPlan { submission, name, owner })
}

pub(in crate::convert::tests) fn job_filter() -> impl Strategy<Value = JobFilter> {
    (vec(select(JobState::ALL.to_vec()), 0..3), of(submission_id()), of(job_id()), of(job_id()), any::<u32>())
        .prop_map(|(states, submission, needs, before, limit)| JobFilter { states, submission, needs, before, limit })
}

pub(in crate::convert::tests) fn watch_item() -> impl Strategy<Value = WatchItem> {
    let progress = (job_id(), progress()).prop_map(|(job, progress)| WatchItem::Progress(job, progress));
    prop_oneof![event_view().prop_map(WatchItem::Event), progress]
}

pub(in crate::convert::tests) fn log_chunk() -> impl Strategy<Value = LogChunk> {
    (attempt_id(), any::<u64>(), vec(any::<u8>(), 0..16)).prop_map(|(attempt, offset, bytes)| LogChunk {
        attempt,
        offset,
        bytes: bytes.into(),
    })
}

pub(in crate::convert::tests) fn upload() -> impl Strategy<Value = Upload> {
    (attempt_id(), hash(), any::<u64>()).prop_map(|(attempt, sha256, bytes)| Upload { attempt, sha256, bytes })
}
