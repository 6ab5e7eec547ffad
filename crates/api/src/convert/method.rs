//! Training methods, optimiser and schedules.

use rrm_spec::{Method, OptimizerSpec, Schedule};

use super::{OnWire, Reader, wire_enum};
use crate::wire;

wire_enum!(Mode { Train => Train, Eval => Eval });
wire_enum!(DistillationForm { Textbook => Textbook, Released => Released, Paper => Paper });
wire_enum!(Perturbation { Carried => Carried, Reset => Reset });
wire_enum!(RepresentationLoss { Cosine => Cosine, RelativeL2 => RelativeL2, L2 => L2 });

impl OnWire for Method {
    type Wire = wire::Method;

    fn to_wire(self) -> Self::Wire {
        use wire::method::Kind;
        let kind = match self {
            Self::Natural => Kind::Natural(wire::Natural {}),
            Self::AdversarialTraining { attack, attack_mode } => Kind::AdversarialTraining(wire::AdversarialTraining {
                attack: Some(attack.to_wire()),
                attack_mode: attack_mode.to_wire(),
            }),
            Self::FreeAdversarialTraining { threat, step_size, replays, perturbation } => {
                Kind::FreeAdversarialTraining(wire::FreeAdversarialTraining {
                    threat: Some(threat.to_wire()),
                    step_size: step_size.to_wire(),
                    replays: replays.to_wire(),
                    perturbation: perturbation.to_wire(),
                })
            }
            Self::Rrm { teacher, representation_loss, lambda, replays } => Kind::Rrm(wire::Rrm {
                teacher: Some(teacher.to_wire()),
                representation_loss: representation_loss.to_wire(),
                lambda,
                replays: replays.to_wire(),
            }),
            Self::KnowledgeDistillation { teacher, temperature, alpha, form } => {
                Kind::KnowledgeDistillation(wire::KnowledgeDistillation {
                    teacher: Some(teacher.to_wire()),
                    temperature,
                    alpha,
                    form: form.to_wire(),
                })
            }
            Self::AdversariallyRobustDistillation { teacher, attack, attack_mode, temperature, alpha, form } => {
                Kind::AdversariallyRobustDistillation(wire::AdversariallyRobustDistillation {
                    teacher: Some(teacher.to_wire()),
                    attack: Some(attack.to_wire()),
                    attack_mode: attack_mode.to_wire(),
                    temperature,
                    alpha,
                    form: form.to_wire(),
                })
            }
            Self::Trades { threat, steps, step_size, beta } => Kind::Trades(wire::Trades {
                threat: Some(threat.to_wire()),
                steps: steps.to_wire(),
                step_size: step_size.to_wire(),
                beta,
            }),
        };
        wire::Method { kind: Some(kind) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        use wire::method::Kind;
        let wire::Method { kind } = wire;
        match kind {
            Some(Kind::Natural(wire::Natural {})) => Some(Self::Natural),
            Some(Kind::AdversarialTraining(method)) => adversarial_training(method, reader),
            Some(Kind::FreeAdversarialTraining(method)) => free_adversarial_training(method, reader),
            Some(Kind::Rrm(method)) => rrm(method, reader),
            Some(Kind::KnowledgeDistillation(method)) => knowledge_distillation(method, reader),
            Some(Kind::AdversariallyRobustDistillation(method)) => robust_distillation(method, reader),
            Some(Kind::Trades(method)) => trades(method, reader),
            None => reader.at("kind").missing(),
        }
    }
}

fn adversarial_training(method: wire::AdversarialTraining, reader: &mut Reader<'_>) -> Option<Method> {
    let wire::AdversarialTraining { attack, attack_mode } = method;
    let attack = reader.required("attack", attack);
    let attack_mode = reader.field("attack_mode", attack_mode);
    Some(Method::AdversarialTraining { attack: attack?, attack_mode: attack_mode? })
}

fn free_adversarial_training(method: wire::FreeAdversarialTraining, reader: &mut Reader<'_>) -> Option<Method> {
    let wire::FreeAdversarialTraining { threat, step_size, replays, perturbation } = method;
    let threat = reader.required("threat", threat);
    let step_size = reader.field("step_size", step_size);
    let replays = reader.field("replays", replays);
    let perturbation = reader.field("perturbation", perturbation);
    Some(Method::FreeAdversarialTraining {
        threat: threat?,
        step_size: step_size?,
        replays: replays?,
        perturbation: perturbation?,
    })
}

fn rrm(method: wire::Rrm, reader: &mut Reader<'_>) -> Option<Method> {
    let wire::Rrm { teacher, representation_loss, lambda, replays } = method;
    let teacher = reader.required("teacher", teacher);
    let representation_loss = reader.field("representation_loss", representation_loss);
    let replays = reader.field("replays", replays);
    Some(Method::Rrm { teacher: teacher?, representation_loss: representation_loss?, lambda, replays: replays? })
}

fn knowledge_distillation(method: wire::KnowledgeDistillation, reader: &mut Reader<'_>) -> Option<Method> {
    let wire::KnowledgeDistillation { teacher, temperature, alpha, form } = method;
    let teacher = reader.required("teacher", teacher);
    let form = reader.field("form", form);
    Some(Method::KnowledgeDistillation { teacher: teacher?, temperature, alpha, form: form? })
}

fn robust_distillation(method: wire::AdversariallyRobustDistillation, reader: &mut Reader<'_>) -> Option<Method> {
    let wire::AdversariallyRobustDistillation { teacher, attack, attack_mode, temperature, alpha, form } = method;
    let teacher = reader.required("teacher", teacher);
    let attack = reader.required("attack", attack);
    let attack_mode = reader.field("attack_mode", attack_mode);
    let form = reader.field("form", form);
    Some(Method::AdversariallyRobustDistillation {
        teacher: teacher?,
        attack: attack?,
        attack_mode: attack_mode?,
        temperature,
        alpha,
        form: form?,
    })
}

fn trades(method: wire::Trades, reader: &mut Reader<'_>) -> Option<Method> {
    let wire::Trades { threat, steps, step_size, beta } = method;
    let threat = reader.required("threat", threat);
    let steps = reader.field("steps", steps);
    let step_size = reader.field("step_size", step_size);
    Some(Method::Trades { threat: threat?, steps: steps?, step_size: step_size?, beta })
}

impl OnWire for OptimizerSpec {
    type Wire = wire::Optimizer;

    fn to_wire(self) -> Self::Wire {
        let Self { learning_rate, momentum, weight_decay, schedule } = self;
        wire::Optimizer { learning_rate, momentum, weight_decay, schedule: Some(schedule.to_wire()) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Optimizer { learning_rate, momentum, weight_decay, schedule } = wire;
        let schedule = reader.required("schedule", schedule)?;
        Some(Self { learning_rate, momentum, weight_decay, schedule })
    }
}

impl OnWire for Schedule {
    type Wire = wire::Schedule;

    fn to_wire(self) -> Self::Wire {
        use wire::schedule::Kind;
        let kind = match self {
            Self::Constant => Kind::Constant(wire::ConstantSchedule {}),
            Self::Step { milestones, factor } => Kind::Step(wire::StepSchedule { milestones, factor }),
            Self::Cosine => Kind::Cosine(wire::CosineSchedule {}),
            Self::Triangular { peak_momentum } => Kind::Triangular(wire::TriangularSchedule { peak_momentum }),
        };
        wire::Schedule { kind: Some(kind) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        use wire::schedule::Kind;
        let wire::Schedule { kind } = wire;
        match kind {
            Some(Kind::Constant(wire::ConstantSchedule {})) => Some(Self::Constant),
            Some(Kind::Step(wire::StepSchedule { milestones, factor })) => Some(Self::Step { milestones, factor }),
            Some(Kind::Cosine(wire::CosineSchedule {})) => Some(Self::Cosine),
            Some(Kind::Triangular(wire::TriangularSchedule { peak_momentum })) => {
                Some(Self::Triangular { peak_momentum })
            }
            None => reader.at("kind").missing(),
        }
    }
}
