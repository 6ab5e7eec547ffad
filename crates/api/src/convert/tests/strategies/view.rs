//! What can be read back.

use super::*;

pub(in crate::convert::tests) fn job_summary() -> impl Strategy<Value = JobSummary> {
    let names = (job_id(), submission_id(), text(), user_name(), text());
    let kinds = (select(JobKind::ALL.to_vec()), select(JobState::ALL.to_vec()));
    let counts = (of(select(Stop::ALL.to_vec())), any::<i32>(), any::<u32>(), any::<u32>(), any::<u32>());
    let rest = (of(progress()), of(text()), any::<i64>(), of(any::<i64>()), of(any::<i64>()));
    let control = (any::<bool>(), of(time_limit()), of(job_id()), of(job_id()));
    (names, kinds, counts, rest, control).prop_map(
        |(
            (id, submission, plan, owner, name),
            (kind, state),
            (stop, priority, attempts, epochs_done, epochs_total),
            (progress, reason, created_at, started_at, ended_at),
            (held, time_limit, retry_of, retried_as),
        )| JobSummary {
            id,
            submission,
            plan,
            owner,
            name,
            kind,
            state,
            stop,
            held,
            priority,
            time_limit,
            retry_of,
            retried_as,
            attempts,
            epochs_done,
            epochs_total,
            progress,
            reason,
            created_at,
            started_at,
            ended_at,
        },
    )
}

pub(in crate::convert::tests) fn attempt_view() -> impl Strategy<Value = AttemptView> {
    let place = (attempt_id(), worker_id(), text(), text());
    let end = (of(any::<i64>()), of(select(AttemptOutcome::ALL.to_vec())), of(text()));
    (place, any::<i64>(), end, of(run_started())).prop_map(
        |((id, worker, node, device), started_at, (ended_at, outcome, message), run)| AttemptView {
            id,
            worker,
            node,
            device,
            started_at,
            ended_at,
            outcome,
            message,
            run,
        },
    )
}

pub(in crate::convert::tests) fn job_detail() -> impl Strategy<Value = JobDetail> {
    let lists = (
        vec(job_id(), 0..3),
        vec(attempt_view(), 0..3),
        vec(epoch_record(), 0..3),
        vec(evaluation_record(), 0..3),
        of(diagnostics_record()),
        vec(checkpoint_record(), 0..3),
    );
    (job_summary(), job_spec(), lists, of(hash())).prop_map(
        |(summary, spec, (parents, attempts, epochs, evaluations, diagnostics, checkpoints), content_key)| JobDetail {
            summary,
            spec,
            parents,
            attempts,
            epochs,
            evaluations,
            diagnostics,
            checkpoints,
            content_key,
        },
    )
}

pub(in crate::convert::tests) fn worker_view() -> impl Strategy<Value = WorkerView> {
    let out = (any::<i64>(), text()).prop_map(|(since, reason)| OutOfService { since, reason });
    let jobs = (of(job_id()), vec(job_id(), 0..2));
    let device = (text(), jobs, text(), of(any::<u64>()), any::<u32>(), of(out)).prop_map(
        |(device, (job, more_jobs), name, memory_mib, share, out_of_service)| DeviceView {
            device,
            job,
            more_jobs,
            name,
            memory_mib,
            share,
            out_of_service,
        },
    );
    (worker_id(), text(), text(), any::<bool>(), any::<i64>(), vec(device, 0..3), labels()).prop_map(
        |(id, node, version, online, last_seen_at, devices, labels)| WorkerView {
            id,
            node,
            version,
            online,
            last_seen_at,
            devices,
            labels,
        },
    )
}

pub(in crate::convert::tests) fn event_view() -> impl Strategy<Value = EventView> {
    (any::<i64>(), any::<i64>(), of(job_id()), of(attempt_id()), text(), text())
        .prop_map(|(seq, at, job, attempt, kind, data)| EventView { seq, at, job, attempt, kind, data })
}
