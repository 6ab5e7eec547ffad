#![doc = include_str!("../README.md")]

mod access;
mod accuracy;
mod arch;
mod artifact;
mod attack;
mod dataset;
mod diagnostic;
mod event;
mod explain;
mod health;
mod ids;
mod job;
mod method;
mod network;
mod optimizer;
mod placement;
mod plan;
mod precision;
mod read;
mod resources;
mod state;
mod threat;
mod time_limit;
mod usage;
mod user;
mod validate;
mod view;
mod wish;
mod worker;

pub use access::{Grant, GrantView, Role, TokenHash};
pub use accuracy::{Accuracy, ClassAccuracy, balanced};
pub use arch::{Arch, Family, ParseArchError};
pub use artifact::{ArtifactRef, ImportedNetwork, NetworkName};
pub use attack::{
    AdaptiveSpec, ApgdDialect, ApgdLoss, ApgdSpec, AttackSpec, AutoAttackPart, AutoAttackSpec, AutoAttackVersion,
    CarliniWagnerSpec, CustomAutoAttack, FabSpec, FgsmDialect, FgsmSpec, PgdDialect, PgdSelection, PgdSpec, PgdStart,
    PgdTarget, SquareLoss, SquareSchedule, SquareSpec, Through,
};
pub use dataset::{Augmentation, Dataset, DatasetName, Normalization};
pub use diagnostic::{Diagnostic, DiagnosticsRecord};
pub use event::{
    Audit, CheckpointRecord, CheckpointRole, ClosestPoint, EpochRecord, EvaluationRecord, Event, FailureClass,
    ImageOutcome, Outcome, Progress, Record, RunStarted,
};
pub use explain::{Ahead, AheadGroup, AheadReason, DeviceStanding, Explanation, ParentView, Standing, WorkerStanding};
pub use health::{SICK_AFTER, Sign, Went, is_sick};
pub use ids::{ArtifactHash, AttemptId, JobId, ParseIdError, RequestId, SubmissionId, WorkerId};
pub use job::{
    EvaluateSpec, ImagesSource, JobKind, JobRef, JobSpec, ModelSource, Need, Product, SynthesizeSpec, TrainSpec,
    Validation,
};
pub use method::{DistillationForm, Method, Mode, Perturbation, RepresentationLoss};
pub use network::NetworkSpec;
pub use optimizer::{OptimizerSpec, Schedule};
pub use placement::{
    Booking, Candidate, Demand, DeviceMisfit, Node, NodeMisfit, Offer, PATIENCE_US, Part, Round, Seat,
};
pub use plan::{DeviceRequest, MAX_JOBS_PER_PLAN, MAX_RETRIES, Plan, PlannedJob};
pub use precision::Precision;
pub use read::read_job;
pub use resources::{DeviceShare, Label, ResourceRequest, label_faults};
pub use state::{AttemptOutcome, Disposition, IllegalTransition, JobState, RetryBudget, Stop, Transition, disposition};
pub use threat::{Epsilon, Norm, ParseEpsilonError, ThreatModel};
pub use time_limit::{TimeLimit, TimeLimitError};
pub use usage::{USAGE_HALF_LIFE_US, Usage, running_us, used_us};
pub use user::UserName;
pub use validate::{Violation, Violations};
pub use view::{AttemptView, DeviceView, EventView, JobDetail, JobSummary, OutOfService, WorkerView};
pub use wish::{
    AfterPreemption, Dependents, DrainHow, DrainTarget, DrainView, JobChange, Retried, RetryBegin, RetryWish,
};
pub use worker::{
    Assignment, Device, DeviceInfo, HeartbeatReply, HeldAttempt, InputArtifact, InputName, Instruction, MAX_SHARE,
    Registration, ResumePoint,
};
