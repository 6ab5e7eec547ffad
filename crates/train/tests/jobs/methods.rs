//! What a single step does and leaves alone.

use candle_core::{DType, Tensor};
use rrm_models::{Model, Network};
use rrm_spec::{DistillationForm, Method, Mode, Norm, Perturbation, RepresentationLoss, ThreatModel};
use rrm_train::{
    Step, StepStats, Student, TrainBatch,
    step::{self, FreeAdversarialTraining, SoftTargets},
};

use crate::support::{
    batch, count, distillation, fast_at, fgsm, free, network, robust_distillation, rrm, sat, state, student, trades,
};

fn batches_tracked(network: &Network) -> Vec<f64> {
    let counters = state(network).into_iter().filter(|(key, _)| key.ends_with("num_batches_tracked"));
    counters.map(|(_, value)| value[0]).collect()
}

#[test]
fn rrm_leaves_the_teachers_weights_and_statistics_alone() {
    let teacher = network("vgg11/16", 1, 32);
    let before = state(&teacher);
    let mut student = student(network("resnet18/16", 2, 32), 1, 2);
    let student_before = state(student.network());
    let mut step = step::build(&rrm(5e-3, 2, RepresentationLoss::Cosine), Some(&teacher), 0);
    step.step(&mut student, &batch()).unwrap();
    assert_eq!(state(&teacher), before);
    assert_ne!(state(student.network()), student_before);
}

#[test]
fn distillation_leaves_the_teachers_weights_and_statistics_alone() {
    let released = distillation(30.0, 0.9, DistillationForm::Released);
    for method in [released, robust_distillation("8/255", "2/255", 2, 1.0)] {
        let teacher = network("vgg11/16", 1, 32);
        let before = state(&teacher);
        let mut student = student(network("resnet18/16", 2, 32), 1, 2);
        step::build(&method, Some(&teacher), 0).step(&mut student, &batch()).unwrap();
        assert_eq!(state(&teacher), before, "{method:?}");
    }
}

/// Where networks divide by T themselves, the paper's form is the textbook's of the same networks without.
#[test]
fn the_papers_form_on_softened_logits_is_the_textbooks_on_those_that_are_not() {
    let batch = batch();
    let logits = |seed| network("vgg11/16", seed, 32).forward(&batch.pixels, Mode::Eval).unwrap().logits.detach();
    let (student, teacher) = (logits(1), logits(2));
    let terms = |form| SoftTargets { temperature: 4.0, alpha: 1.0, form };
    let textbook = terms(DistillationForm::Textbook).divergence(&student, &teacher).unwrap();
    let (student, teacher) = ((student / 4.0).unwrap(), (teacher / 4.0).unwrap());
    let paper = terms(DistillationForm::Paper).divergence(&student, &teacher).unwrap();
    let (expected, found) = (numbers(&textbook)[0], numbers(&paper)[0]);
    assert!(expected > 0.0 && (found - expected).abs() < 1e-5 * expected, "{found} instead of {expected}");
}

/// The statistics and the weights after one step.
fn after(method: &Method, steps: u64) -> (StepStats, Student) {
    let mut student = student(network("vgg11/16", 2, 32), 1, steps);
    let stats = step::build(method, None, 0).step(&mut student, &batch()).unwrap();
    (stats, student)
}

#[test]
fn free_at_updates_once_per_replay() {
    let (stats, student) = after(&free("8/255", 3, Perturbation::Carried), 3);
    assert_eq!((student.step(), stats.updates, stats.accuracy.total), (3, 3, 6));
    assert!(batches_tracked(student.network()).iter().all(|&count| count == 3.0));
}

fn linf(epsilon: &str) -> ThreatModel {
    ThreatModel { norm: Norm::Linf, epsilon: epsilon.parse().unwrap() }
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// A batch with the first so many of the images.
fn first(images: usize) -> TrainBatch {
    let TrainBatch { pixels, labels, mut classes, mut indices, epoch } = batch();
    classes.truncate(images);
    indices.truncate(images);
    let (pixels, labels) = (pixels.narrow(0, 0, images).unwrap(), labels.narrow(0, 0, images).unwrap());
    TrainBatch { pixels, labels, classes, indices, epoch }
}

#[test]
fn free_at_carries_its_change_from_batch_to_batch_and_keeps_the_rows_that_a_short_one_lacks() {
    let carried = |replays: &[(u32, usize)]| {
        let mut student = student(network("vgg11/16", 2, 32), 1, 8);
        let perturbation = Perturbation::Carried;
        let mut step = FreeAdversarialTraining::new(linf("8/255"), 2.0 / 255.0, count(1), perturbation);
        let mut changes = Vec::new();
        for &(times, images) in replays {
            for _ in 0..times {
                step.step(&mut student, &first(images)).unwrap();
            }
            changes.push(numbers(step.change().unwrap()));
        }
        (changes, state(student.network()))
    };
    let (changes, _) = carried(&[(2, 6), (1, 4)]);
    let rows = 4 * 3 * 32 * 32;
    assert_eq!(changes[0].len(), changes[1].len());
    assert_ne!(changes[0][..rows], changes[1][..rows], "the rows of the short batch move on");
    assert_eq!(changes[0][rows..], changes[1][rows..], "the others stay");
    let largest = changes[1].iter().fold(0f64, |largest, c| largest.max(c.abs()));
    assert!(largest > 5.0 / 255.0 && largest <= 8.0 / 255.0 + 1e-12, "three steps of 2/255: {largest}");

    let mut student = student(network("vgg11/16", 2, 32), 1, 8);
    let mut step = FreeAdversarialTraining::new(linf("8/255"), 2.0 / 255.0, count(3), Perturbation::Carried);
    step.step(&mut student, &first(6)).unwrap();
    assert_eq!(state(student.network()), carried(&[(3, 6)]).1, "replays are steps on the same batch");
}

#[test]
fn a_reset_change_begins_every_batch_at_nothing() {
    let largest = |perturbation| {
        let mut student = student(network("vgg11/16", 2, 32), 1, 8);
        let mut step = FreeAdversarialTraining::new(linf("8/255"), 2.0 / 255.0, count(1), perturbation);
        for _ in 0..3 {
            step.step(&mut student, &batch()).unwrap();
        }
        numbers(step.change().unwrap()).iter().fold(0f64, |largest, c| largest.max(c.abs()))
    };
    assert!((largest(Perturbation::Reset) - 2.0 / 255.0).abs() < 1e-12);
    assert!(largest(Perturbation::Carried) > 5.0 / 255.0);
}

#[test]
fn free_ats_change_stays_in_an_l2_ball_and_in_the_box() {
    let threat = ThreatModel { norm: Norm::L2, epsilon: "0.5".parse().unwrap() };
    let mut student = student(network("vgg11/16", 2, 32), 1, 8);
    let mut step = FreeAdversarialTraining::new(threat, 0.3, count(4), Perturbation::Carried);
    step.step(&mut student, &batch()).unwrap();
    let change = step.change().unwrap();
    let lengths = numbers(&change.sqr().unwrap().flatten_from(1).unwrap().sum(1).unwrap().sqrt().unwrap());
    assert!(lengths.iter().all(|&length| length > 0.3 && length <= 0.5 + 1e-9), "{lengths:?}");
    assert!(numbers(&(batch().pixels + change).unwrap()).iter().all(|x| (0.0..=1.0).contains(x)));
}

#[test]
fn trades_without_its_divergence_is_natural_training_with_one_more_pass() {
    let (natural, plain) = after(&Method::Natural, 2);
    let (trades, regularized) = after(&trades("8/255", "2/255", 2, 0.0), 2);
    assert!((natural.loss_sum - trades.loss_sum).abs() < 1e-12);
    assert_eq!(batches_tracked(regularized.network())[0], 2.0 * batches_tracked(plain.network())[0]);
    for ((name, one), (_, other)) in plain.network().parameters().iter().zip(regularized.network().parameters()) {
        let difference = numbers(&(one.as_tensor() - other.as_tensor()).unwrap());
        assert!(difference.iter().all(|d| d.abs() < 1e-9), "{name}");
    }
}

#[test]
fn trades_searches_in_eval_mode_and_counts_the_divergence_beta_times() {
    let loss = |beta| after(&trades("8/255", "2/255", 3, beta), 2).0.loss_sum;
    let [none, one, six] = [0.0, 1.0, 6.0].map(loss);
    assert!(one > none + 1e-6, "{none} {one}");
    assert!(((six - none) - 6.0 * (one - none)).abs() < 1e-9, "{none} {one} {six}");
}

#[test]
fn a_single_step_may_be_longer_than_the_radius() {
    let (_, student) = after(&fgsm("8/255", "10/255"), 1);
    assert!(batches_tracked(student.network()).iter().all(|&count| count == 2.0));
}

#[test]
fn rrm_updates_once_per_replay() {
    let teacher = network("dnn/16", 1, 32);
    let mut student = student(network("dnn/16", 2, 32), 1, 3);
    let mut step = step::build(&rrm(5e-3, 3, RepresentationLoss::RelativeL2), Some(&teacher), 0);
    assert_eq!(step.updates_per_batch(), 3);
    let stats = step.step(&mut student, &batch()).unwrap();
    assert_eq!((student.step(), stats.updates, stats.accuracy.total), (3, 3, 6));
}

#[test]
fn replays_descend_on_the_same_batch() {
    let teacher = network("vgg11/16", 1, 32);
    let loss = |replays| {
        let mut student = student(network("vgg11/16", 2, 32), 1, 10);
        let mut step = step::build(&rrm(0.0, replays, RepresentationLoss::Cosine), Some(&teacher), 0);
        let stats = step.step(&mut student, &batch()).unwrap();
        stats.loss_sum / f64::from(stats.updates)
    };
    assert!(loss(10) < 0.7 * loss(1), "{} {}", loss(10), loss(1));
}

#[test]
fn an_attack_in_eval_mode_moves_no_statistics_and_one_in_train_mode_does() {
    for (method, forward_passes) in [(sat("8/255", "2/255", 3), 1.0), (fast_at("8/255", "2/255", 3), 4.0)] {
        let mut student = student(network("vgg11/16", 2, 32), 1, 2);
        step::build(&method, None, 0).step(&mut student, &batch()).unwrap();
        let tracked = batches_tracked(student.network());
        assert!(tracked.iter().all(|&count| count == forward_passes), "{method:?}: {tracked:?}");
    }
}

#[test]
fn an_update_follows_the_gradient_decay_and_momentum_of_every_parameter() {
    let mut student = student(network("vgg11/16", 2, 32), 1, 4);
    let before = state(student.network());
    // A loss that reaches a single weight: the others feel the decay alone.
    let (name, weight) = student.network().parameters()[0].clone();
    for _ in 0..2 {
        student.update(&weight.sum_all().unwrap(), &batch().pixels).unwrap();
    }
    let rates = [0, 1].map(|step| student.timetable().at(step).learning_rate);
    let parameters: Vec<_> = student.network().parameters().iter().map(|(name, _)| name.clone()).collect();
    for ((key, old), (_, new)) in before.iter().zip(state(student.network())) {
        if !parameters.contains(key) {
            assert_eq!(*old, new, "{key}");
            continue;
        }
        let gradient = if *key == name { 1.0 } else { 0.0 };
        for (old, new) in old.iter().zip(new) {
            let first_direction = gradient + 5e-4 * old;
            let once = old - rates[0] * first_direction;
            let twice = once - rates[1] * (0.9 * first_direction + gradient + 5e-4 * once);
            assert!((twice - new).abs() < 1e-14, "{key}: {twice} {new}");
        }
    }
}
