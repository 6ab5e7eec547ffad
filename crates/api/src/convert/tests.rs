//! What goes over the wire comes back the same, and what is faulty is refused completely.

mod strategies;

use std::num::NonZeroU32;

use proptest::prelude::*;
use prost::Message;
use rrm_spec::{
    AfterPreemption, ApgdDialect, ApgdLoss, ApgdSpec, Assignment, AttackSpec, AttemptId, AttemptView, Device,
    DrainView, EventView, Explanation, HeartbeatReply, HeldAttempt, ImageOutcome, ImportedNetwork, JobChange,
    JobDetail, JobId, JobSpec, JobSummary, Norm, PgdDialect, PgdSelection, PgdSpec, PgdStart, PgdTarget, Plan,
    Precision, Record, Registration, RequestId, Retried, RetryWish, ThreatModel, TrainSpec, WorkerView,
};

use super::{OnWire, read, read_with};
use crate::{
    AttemptEnd, ImagesPage, JobFilter, LastPlan, LogChunk, Registered, Source, Submitted, Upload, WatchItem, Wishes,
    wire,
};

/// Encoded and decoded, as a connection does it.
fn through_bytes<W: Message + Default>(wire: W) -> W {
    W::decode(wire.encode_to_vec().as_slice()).unwrap()
}

macro_rules! round_trips {
    ($($name:ident: $type:ty = $strategy:expr;)+) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(64))]
            $(
                #[test]
                fn $name(value in $strategy) {
                    prop_assert_eq!(read::<$type>(through_bytes(value.clone().to_wire())), Ok(value));
                }
            )+
        }
    };
}

round_trips! {
    a_job_survives_the_wire: JobSpec = strategies::job_spec();
    a_record_survives_the_wire: Record = strategies::record();
    an_image_outcome_survives_the_wire: ImageOutcome = strategies::image_outcome();
    a_page_of_images_survives_the_wire: ImagesPage = strategies::images_page();
    a_summary_survives_the_wire: JobSummary = strategies::job_summary();
    a_detail_survives_the_wire: JobDetail = strategies::job_detail();
    an_attempt_survives_the_wire: AttemptView = strategies::attempt_view();
    a_worker_survives_the_wire: WorkerView = strategies::worker_view();
    an_event_survives_the_wire: EventView = strategies::event_view();
    a_device_survives_the_wire: Device = strategies::device();
    a_registration_survives_the_wire: Registration = strategies::registration();
    a_receipt_of_registration_survives_the_wire: Registered = strategies::registered();
    an_assignment_survives_the_wire: Assignment = strategies::assignment();
    a_held_attempt_survives_the_wire: HeldAttempt = strategies::held_attempt();
    a_heartbeats_answer_survives_the_wire: HeartbeatReply = strategies::heartbeat_reply();
    an_end_survives_the_wire: (AttemptId, u64, AttemptEnd) = strategies::settlement();
    a_submission_survives_the_wire: (RequestId, Plan, Source, Wishes) = strategies::submission();
    an_explanation_survives_the_wire: Explanation = strategies::explanation();
    a_receipt_survives_the_wire: Submitted = strategies::submitted();
    a_last_plan_survives_the_wire: LastPlan = strategies::last_plan();
    a_filter_survives_the_wire: JobFilter = strategies::job_filter();
    a_watched_item_survives_the_wire: WatchItem = strategies::watch_item();
    a_log_chunk_survives_the_wire: LogChunk = strategies::log_chunk();
    an_upload_survives_the_wire: Upload = strategies::upload();
    a_change_survives_the_wire: (Vec<JobId>, JobChange) = strategies::change();
    a_preemption_survives_the_wire: (RequestId, Vec<JobId>, AfterPreemption) = strategies::preemption();
    a_retry_survives_the_wire: (RequestId, Vec<JobId>, RetryWish) = strategies::retry();
    a_retried_job_survives_the_wire: Retried = strategies::retried();
    a_drain_survives_the_wire: DrainView = strategies::drain_view();
    an_imported_network_survives_the_wire: ImportedNetwork = strategies::imported_network();
}

/// A plan whose job is faulty in each of these places.
fn faulty_plan(spec: wire::TrainSpec) -> wire::Plan {
    let kind = wire::job_spec::Kind::Train(wire::TrainSpec {
        epochs: 0,
        arch: Some(wire::Arch { family: wire::Family::Unspecified.into(), width_divisor: 3 }),
        dataset: None,
        augmentation: 99,
        precision: Some(wire::Precision::Unspecified.into()),
        ..spec
    });
    let job = wire::PlannedJob {
        name: "teacher".into(),
        spec: Some(wire::JobSpec { kind: Some(kind) }),
        device: wire::DeviceRequest::Unspecified.into(),
        ..Default::default()
    };
    wire::Plan { name: "faulty".into(), jobs: vec![job] }
}

#[test]
fn every_fault_of_a_message_is_named_at_once_by_the_plans_own_paths() {
    let message = wire::SubmitRequest {
        request_id: "short".into(),
        plan: Some(faulty_plan(Default::default())),
        ..Default::default()
    };
    let faults = read::<(RequestId, Plan, Source, Wishes)>(message).unwrap_err();
    let mut fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "job.teacher.arch.family",
            "job.teacher.arch.width_divisor",
            "job.teacher.augmentation",
            "job.teacher.batch_size",
            "job.teacher.dataset",
            "job.teacher.device",
            "job.teacher.epochs",
            "job.teacher.method",
            "job.teacher.optimizer",
            "job.teacher.precision",
            "job.teacher.validation",
            "request_id",
            "source",
        ]
    );
}

#[test]
fn a_value_out_of_range_is_refused_as_a_plan_file_is() {
    let mut plan = strategies::one_job_plan();
    let JobSpec::Train(spec) = &mut plan.jobs[0].spec else { panic!("it trains") };
    spec.optimizer.learning_rate = f64::NAN;
    let expected = plan.validate().unwrap_err();
    assert_eq!(read::<Plan>(plan.to_wire()), Err(expected));
}

#[test]
fn a_training_of_a_client_that_knows_no_precision_is_in_f32() {
    let JobSpec::Train(spec) = strategies::one_job_plan().jobs.remove(0).spec else { panic!("it trains") };
    let message = wire::TrainSpec { precision: None, ..spec.clone().to_wire() };
    assert_eq!(read::<TrainSpec>(message), Ok(TrainSpec { precision: Precision::F32, ..spec }));
}

#[test]
fn attacks_of_a_client_that_knows_no_targets_and_no_averages_are_what_they_were() {
    let threat = ThreatModel { norm: Norm::Linf, epsilon: "8/255".parse().unwrap() };
    let (seven, one) = (NonZeroU32::new(7).unwrap(), NonZeroU32::MIN);
    let pgd = AttackSpec::Pgd(PgdSpec {
        threat: threat.clone(),
        steps: seven,
        step_size: "2/255".parse().unwrap(),
        start: PgdStart::Uniform,
        selection: PgdSelection::Last,
        restarts: one,
        target: PgdTarget::Untargeted,
        eot: one,
        dialect: PgdDialect::Madry,
    });
    let apgd = AttackSpec::Apgd(ApgdSpec {
        threat,
        iterations: seven,
        restarts: one,
        loss: ApgdLoss::Ce,
        targets: None,
        eot: one,
        dialect: ApgdDialect::Reference,
    });
    for attack in [pgd, apgd] {
        let mut message = attack.clone().to_wire();
        match message.kind.as_mut().unwrap() {
            wire::attack_spec::Kind::Pgd(pgd) => (pgd.target, pgd.eot, pgd.dialect) = (None, None, None),
            wire::attack_spec::Kind::Apgd(apgd) => (apgd.targets, apgd.eot, apgd.art) = (None, None, None),
            other => panic!("{other:?} was not asked for"),
        }
        assert_eq!(read::<AttackSpec>(message), Ok(attack));
    }
}

#[test]
fn a_folder_outside_of_the_data_directory_is_refused() {
    let name = wire::dataset_name::Name::Folder("../secret".into());
    assert!(read::<rrm_spec::DatasetName>(wire::DatasetName { name: Some(name) }).is_err());
}

#[test]
fn an_accuracy_above_one_is_refused() {
    assert!(read::<rrm_spec::Accuracy>(wire::Accuracy { correct: 2, total: 1 }).is_err());
}

#[test]
fn ids_are_positive() {
    for id in [0, -1, i64::MIN] {
        assert!(read_with(|reader| reader.field::<JobId>("id", id)).is_err(), "{id}");
    }
}
