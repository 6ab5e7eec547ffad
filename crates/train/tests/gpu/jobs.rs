//! Whole jobs on the device.

use candle_core::Device;
use rrm_spec::{AttackSpec, Method, Mode, PgdSelection, RepresentationLoss};
use rrm_train::Environment;

use crate::dataset::Recipe;
use crate::support::{Bench, bytes, fast_at, pgd, rrm, sat};
use crate::{OnDevice, Outcome};

pub(crate) fn tests() -> Vec<OnDevice> {
    vec![("the_same_job_leaves_the_same_bits", same_bits), ("every_method_learns_on_the_device", every_method)]
}

fn same_bits(device: &Device) -> Outcome {
    let bench = Bench::new(Recipe::EASY);
    for method in [sat("8/255", "2/255", 3), fast_at("8/255", "2/255", 3)] {
        let train = |work: &str| {
            let environment = Environment { device: device.clone(), ..bench.environment(work) };
            bench.train(&bench.spec("resnet18/8", method.clone()), &environment);
            bytes(&bench.path(work).join("final.safetensors"))
        };
        if train("first") != train("second") {
            return Err(format!("{method:?} left different weights").into());
        }
    }
    Ok(())
}

fn every_method(device: &Device) -> Outcome {
    let bench = Bench::new(Recipe::EASY);
    let teacher = Environment { device: device.clone(), ..bench.environment("teacher") };
    bench.train(&bench.spec("resnet18/8", sat("8/255", "2/255", 3)), &teacher);
    let l2 = Method::AdversarialTraining { attack: in_l2(), attack_mode: Mode::Eval };
    for (work, method) in [("natural", Method::Natural), ("l2", l2), ("rrm", rrm(0.05, 2, RepresentationLoss::Cosine))]
    {
        let environment = Environment { device: device.clone(), ..bench.environment_with(work, "teacher") };
        let epochs = bench.train(&bench.spec("resnet18/8", method), &environment);
        let (first, last) = (&epochs[0], epochs.last().expect("three epochs"));
        println!("    {work}: loss {} to {}", first.loss, last.loss);
        if last.loss.is_nan() || last.loss >= first.loss {
            return Err(format!("{work}: the loss went from {} to {}", first.loss, last.loss).into());
        }
    }
    Ok(())
}

fn in_l2() -> AttackSpec {
    let AttackSpec::Pgd(attack) = pgd("0.5", "0.1", 3, PgdSelection::BestLoss) else {
        panic!("PGD was asked for");
    };
    let threat = rrm_spec::ThreatModel { norm: rrm_spec::Norm::L2, ..attack.threat };
    AttackSpec::Pgd(rrm_spec::PgdSpec { threat, ..attack })
}
