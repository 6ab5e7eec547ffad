//! Every method learns, and the robust ones become robust.

use rrm_spec::{
    Augmentation, DistillationForm, EpochRecord, JobSpec, Method, OptimizerSpec, Perturbation, PgdSelection,
    RepresentationLoss, TrainSpec,
};

use crate::{
    dataset::Recipe,
    support::{
        Bench, count, distillation, fast_at, fgsm, fraction, free, pgd, records, robust_distillation, rrm, sat, trades,
    },
};

/// Two and a half times as strong as the tint of [`Recipe::TEMPTING`], and half as strong as its halves.
const EPSILON: &str = "20/255";

/// Natural and robust accuracy of the network in the folder `work` after training it there.
fn trained(bench: &Bench, work: &str, method: Method, epochs: u32) -> (f64, f64) {
    let spec = TrainSpec {
        epochs: count(epochs),
        batch_size: count(20),
        augmentation: Augmentation::Light,
        ..bench.spec("vgg11/16", method)
    };
    let epochs = bench.train(&spec, &bench.environment_with(work, "teacher"));
    let [first, .., last]: &[EpochRecord] = &epochs else { panic!("{epochs:?}") };
    assert!(last.loss < first.loss, "{work}: {epochs:?}");
    let evaluation = bench.evaluate(work, pgd(EPSILON, "5/255", 10, PgdSelection::BestLoss), 20);
    (fraction(evaluation.natural), fraction(evaluation.robust))
}

#[test]
fn adversarial_training_and_rrm_are_robust_where_natural_training_is_not() {
    let bench = Bench::new(Recipe::TEMPTING);
    let natural = trained(&bench, "natural", Method::Natural, 10);
    let teacher = trained(&bench, "teacher", sat(EPSILON, "8/255", 4), 10);
    let student = trained(&bench, "student", rrm(5e-3, 1, RepresentationLoss::Cosine), 40);
    let all = format!("natural {natural:?}, teacher {teacher:?}, student {student:?}");
    assert!(natural.0 > 0.95 && natural.1 < 0.1, "{all}");
    // The bright half misleads in a fifth of the images, and no robust network can do better.
    assert!(teacher.0 > 0.7 && teacher.1 > 0.6, "{all}");
    assert!(student.0 > 0.7 && student.1 > 0.5, "{all}");
}

#[test]
fn free_training_trades_and_robust_distillation_are_robust_too() {
    let bench = Bench::new(Recipe::TEMPTING);
    let free = trained(&bench, "free", free(EPSILON, 4, Perturbation::Carried), 6);
    let trades = trained(&bench, "trades", trades(EPSILON, "8/255", 4, 6.0), 10);
    trained(&bench, "teacher", sat(EPSILON, "8/255", 4), 10);
    let student = trained(&bench, "student", robust_distillation(EPSILON, "8/255", 4, 1.0), 15);
    let all = format!("free {free:?}, trades {trades:?}, student {student:?}");
    assert!([free, trades, student].iter().all(|(natural, robust)| *natural > 0.7 && *robust > 0.5), "{all}");
}

/// The released code's: teacher and student divide their logits by T, the loss does once more and has a mean over classes, too; and
/// Equation 6, in which nothing but the networks divides.
#[test]
fn distillation_learns_in_the_released_form_and_in_the_papers_between_networks_of_its_temperature() {
    let bench = Bench::new(Recipe { images: (40, 10), ..Recipe::EASY });
    let softened = |arch: &str, learning_rate, epochs, method| {
        let spec = bench.spec(arch, method);
        let optimizer = OptimizerSpec { learning_rate, ..spec.optimizer };
        TrainSpec { epochs: count(epochs), temperature: 30.0, optimizer, ..spec }
    };
    // The cross-entropy of softened logits has a thirtieth of the usual gradient.
    bench.train(&softened("vgg11/16", 0.5, 10, Method::Natural), &bench.environment("teacher"));
    bench.train(&bench.spec("vgg11/16", Method::Natural), &bench.environment("impostor"));
    let paper = softened("resnet18/16", 0.05, 1, distillation(30.0, 1.0, DistillationForm::Paper));
    let (outcome, _) = records(&JobSpec::Train(paper), &bench.environment_with("refused", "impostor"), |_| false);
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("divides its logits by 1, and not by the method's temperature, 30"), "{error}");
    // The paper's form has T² times the divergence, and with it thirty times the usual gradient.
    for (form, learning_rate) in [(DistillationForm::Released, 0.5), (DistillationForm::Paper, 0.003)] {
        let spec = softened("resnet18/16", learning_rate, 15, distillation(30.0, 1.0, form));
        let epochs = bench.train(&spec, &bench.environment_with(&format!("{form:?}"), "teacher"));
        let [first, .., last]: &[EpochRecord] = &epochs else { panic!("{epochs:?}") };
        assert!(last.loss < first.loss && fraction(last.natural) >= 0.9, "{form:?}: {epochs:?}");
    }
}

#[test]
fn every_method_learns_easy_classes_with_every_network() {
    let bench = Bench::new(Recipe { images: (40, 10), ..Recipe::EASY });
    let easy = |arch: &str, epochs, method| TrainSpec { epochs: count(epochs), ..bench.spec(arch, method) };
    bench.train(&easy("vgg11/16", 5, Method::Natural), &bench.environment("teacher"));
    let methods = [
        ("dnn/4", 12, Method::Natural),
        ("vgg11/16", 5, fast_at("4/255", "2/255", 2)),
        ("resnet18/16", 5, sat("4/255", "2/255", 2)),
        ("vgg11/16", 5, rrm(0.5, 2, RepresentationLoss::RelativeL2)),
        ("vgg11/16", 5, rrm(0.5, 2, RepresentationLoss::L2)),
        ("vgg11/16", 5, fgsm("4/255", "5/255")),
        ("vgg11/16", 4, free("4/255", 4, Perturbation::Carried)),
        ("vgg11/16", 4, free("4/255", 4, Perturbation::Reset)),
        ("resnet18/16", 6, distillation(4.0, 0.5, DistillationForm::Textbook)),
        ("vgg11/16", 6, robust_distillation("4/255", "2/255", 2, 0.5)),
        ("vgg11/16", 6, trades("4/255", "2/255", 2, 2.0)),
    ];
    for (i, (arch, epochs, method)) in methods.into_iter().enumerate() {
        let environment = bench.environment_with(&format!("work-{i}"), "teacher");
        let epochs = bench.train(&easy(arch, epochs, method.clone()), &environment);
        let [first, .., last]: &[EpochRecord] = &epochs else { panic!("{epochs:?}") };
        assert!(last.loss < first.loss, "{arch} {}: {epochs:?}", method.label());
        assert!(fraction(last.natural) >= 0.9, "{arch} {}: {epochs:?}", method.label());
        assert_eq!(last.images, 80);
    }
}
