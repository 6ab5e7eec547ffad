//! What workers say and hear.

use super::*;

pub(in crate::convert::tests) fn registration() -> impl Strategy<Value = Registration> {
    let info = (device(), text(), of(any::<u64>()), 1..=MAX_SHARE)
        .prop_map(|(device, name, memory_mib, share)| DeviceInfo { device, name, memory_mib, share });
    (text(), text(), "[a-z]{1,8}", vec(info, 1..3), labels(), text()).prop_map(
        |(node, version, boot_id, devices, labels, code_version)| Registration {
            node,
            version,
            boot_id,
            devices,
            labels,
            code_version,
        },
    )
}

pub(in crate::convert::tests) fn registered() -> impl Strategy<Value = Registered> {
    (worker_id(), any::<u64>(), any::<u64>()).prop_map(|(worker, ttl_ms, heartbeat_ms)| Registered {
        worker,
        ttl_ms,
        heartbeat_ms,
    })
}

/// Worker's specs are checked for ranges, so these are of one valid job.
pub(in crate::convert::tests) fn assignment() -> impl Strategy<Value = Assignment> {
    let input =
        (of(job_id()), hash(), any::<u64>()).prop_map(|(job, sha256, bytes)| InputArtifact { job, sha256, bytes });
    let resume =
        (any::<u32>(), hash(), any::<u64>()).prop_map(|(epoch, sha256, bytes)| ResumePoint { epoch, sha256, bytes });
    let devices = (device(), vec(device(), 0..3), any::<u32>());
    (job_id(), attempt_id(), text(), devices, vec(input, 0..3), of(resume), of(time_limit())).prop_map(
        |(job, attempt, name, (device, more_devices, parts), inputs, resume, time_limit)| Assignment {
            job,
            attempt,
            name,
            device,
            more_devices,
            parts,
            spec: one_job_plan().jobs.remove(0).spec,
            inputs,
            resume,
            time_limit,
        },
    )
}

pub(in crate::convert::tests) fn held_attempt() -> impl Strategy<Value = HeldAttempt> {
    (attempt_id(), of(progress())).prop_map(|(attempt, progress)| HeldAttempt { attempt, progress })
}

pub(in crate::convert::tests) fn heartbeat_reply() -> impl Strategy<Value = HeartbeatReply> {
    let instruction = select(vec![Instruction::Continue, Instruction::Stop, Instruction::Abandon]);
    (vec((attempt_id(), instruction), 0..4), of(worker_id()))
        .prop_map(|(instructions, known)| HeartbeatReply { instructions, known })
}

pub(in crate::convert::tests) fn settlement() -> impl Strategy<Value = (AttemptId, u64, AttemptEnd)> {
    let end = (select(AttemptOutcome::ALL.to_vec()), of(text()), of(any::<i32>()), of(any::<i32>()))
        .prop_map(|(outcome, message, exit_code, signal)| AttemptEnd { outcome, message, exit_code, signal });
    (attempt_id(), any::<u64>(), end)
}
