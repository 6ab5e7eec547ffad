//! What jobs ask for, and why they wait.

use super::*;

pub(in crate::convert::tests) fn resource_request() -> impl Strategy<Value = ResourceRequest> {
    let devices =
        prop_oneof![1..=64_u32, Just(0)].prop_map(|n| DeviceShare::whole(n).unwrap_or(0.5.try_into().unwrap()));
    (devices, of(1..=10_000_u32), labels()).prop_map(|(devices, memory_gib, mut labels)| {
        labels.sort();
        labels.dedup();
        ResourceRequest { devices, memory_gib, labels }
    })
}

pub(in crate::convert::tests) fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        Just(Standing::Free),
        Just(Standing::OtherKind),
        (of(any::<u64>()), any::<u64>()).prop_map(|(has_mib, needs_mib)| Standing::TooSmall { has_mib, needs_mib }),
        (any::<i64>(), text()).prop_map(|(since, reason)| Standing::OutOfService { since, reason }),
        (job_id(), text(), any::<i64>(), of(any::<i64>()))
            .prop_map(|(job, name, since, expected_end)| Standing::Busy { job, name, since, expected_end }),
        job_id().prop_map(|job| Standing::Reserved { job }),
    ]
}

pub(in crate::convert::tests) fn worker_standing() -> impl Strategy<Value = WorkerStanding> {
    let device = (text(), standing()).prop_map(|(device, standing)| DeviceStanding { device, standing });
    (worker_id(), text(), labels(), any::<u32>(), any::<u32>(), any::<bool>(), vec(device, 0..3)).prop_map(
        |(worker, node, lacks_labels, fitting, wanted, drained, devices)| WorkerStanding {
            worker,
            node,
            lacks_labels,
            fitting,
            wanted,
            drained,
            devices,
        },
    )
}

pub(in crate::convert::tests) fn explanation() -> impl Strategy<Value = Explanation> {
    let state = || select(JobState::ALL.to_vec());
    let parent = (job_id(), text(), state()).prop_map(|(id, name, state)| ParentView { id, name, state });
    let group = (user_name(), select(AheadReason::ALL.to_vec()), any::<u64>())
        .prop_map(|(owner, why, jobs)| AheadGroup { owner, why, jobs });
    let ahead = (any::<u64>(), any::<bool>(), vec(group, 0..3)).prop_map(|(jobs, is_more, groups)| Ahead {
        jobs,
        is_more,
        groups,
    });
    let device = select(vec![DeviceRequest::Any, DeviceRequest::Cpu, DeviceRequest::Cuda]);
    let who = (job_id(), text(), user_name(), state(), any::<i64>(), of(text()), any::<i32>());
    let what =
        (device, resource_request(), vec(parent, 0..3), of(any::<i64>()), of(ahead), vec(worker_standing(), 0..3));
    (who, what, any::<bool>(), any::<bool>()).prop_map(
        |(
            (job, name, owner, state, since, reason, priority),
            (device, resources, parents, not_before, ahead, workers),
            held,
            drained,
        )| Explanation {
            job,
            name,
            owner,
            state,
            since,
            reason,
            priority,
            device,
            resources,
            parents,
            not_before,
            held,
            drained,
            ahead,
            workers,
        },
    )
}
