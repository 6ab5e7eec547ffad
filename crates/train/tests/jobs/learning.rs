//! Every method learns, and the robust ones become robust.

use rrm_spec::{EpochRecord, Method, PgdSelection, RepresentationLoss, TrainSpec, Validation};

use crate::{
    dataset::Recipe,
    support::{Bench, count, fast_at, fraction, pgd, rrm, sat},
};

/// Twice as strong as the stripes of [`Recipe::TEMPTING`], half as strong as its halves.
const EPSILON: &str = "20/255";

fn spec(bench: &Bench, method: Method) -> TrainSpec {
    let attack = Some(pgd(EPSILON, "5/255", 10, PgdSelection::BestLoss));
    TrainSpec {
        epochs: count(std::env::var("EP").map_or(10, |e| e.parse().unwrap())),
        batch_size: count(20),
        validation: Validation { images: None, attack },
        ..bench.spec("resnet18/16", method)
    }
}

fn robust(epoch: &EpochRecord) -> f64 {
    fraction(epoch.robust.unwrap())
}

#[test]
fn adversarial_training_and_rrm_are_robust_where_natural_training_is_not() {
    let bench = Bench::new(Recipe::TEMPTING);
    let natural = bench.train(&spec(&bench, Method::Natural), &bench.environment("natural"));
    let teacher = bench.train(&spec(&bench, sat(EPSILON, "8/255", 4)), &bench.environment("teacher"));
    let student =
        spec(&bench, rrm(std::env::var("LA").map_or(0.05, |e| e.parse().unwrap()), 1, RepresentationLoss::Cosine));
    let student = bench.train(&student, &bench.environment_with("student", "teacher"));

    for (name, epochs) in [("natural", &natural), ("teacher", &teacher), ("student", &student)] {
        let (first, last) = (&epochs[0], &epochs[epochs.len() - 1]);
        eprintln!(
            "{name}: {} -> {}, natural {}, robust {}",
            first.loss,
            last.loss,
            fraction(last.natural),
            robust(last)
        );
    }
    let last = |epochs: &[EpochRecord]| epochs[epochs.len() - 1].clone();
    assert!(fraction(last(&natural).natural) > 0.95);
    assert!(robust(&last(&natural)) < 0.5);
    assert!(fraction(last(&teacher).natural) > 0.8 && robust(&last(&teacher)) > 0.7);
    assert!(robust(&last(&student)) > robust(&last(&natural)) + 0.2);
    for epochs in [natural, teacher, student] {
        assert!(last(&epochs).loss < epochs[0].loss, "{epochs:?}");
    }
}

#[test]
fn every_method_learns_easy_classes_with_every_network() {
    let bench = Bench::new(Recipe { images: (40, 10), ..Recipe::EASY });
    let easy = |arch: &str, method| TrainSpec {
        epochs: count(std::env::var("DE").map_or(5, |e| e.parse().unwrap())),
        ..bench.spec(arch, method)
    };
    bench.train(&easy("vgg11/16", Method::Natural), &bench.environment("teacher"));
    let methods = [
        (Box::leak(std::env::var("DA").unwrap_or("dnn/4".into()).into_boxed_str()), Method::Natural),
        ("vgg11/16", fast_at("4/255", "2/255", 2)),
        ("resnet18/16", sat("4/255", "2/255", 2)),
        ("vgg11/16", rrm(0.5, 2, RepresentationLoss::RelativeL2)),
    ];
    for (i, (arch, method)) in methods.into_iter().enumerate() {
        let epochs = bench.train(&easy(arch, method.clone()), &bench.environment_with(&format!("work-{i}"), "teacher"));
        let (first, last) = (&epochs[0], &epochs[epochs.len() - 1]);
        assert!(last.loss < first.loss, "{arch} {}: {epochs:?}", method.label());
        assert!(fraction(last.natural) >= 0.9, "{arch} {}: {epochs:?}", method.label());
        assert_eq!(last.images, 80);
    }
}
