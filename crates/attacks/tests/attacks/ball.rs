use candle_core::{DType, Device, Tensor};
use rrm_attacks::{Ball, Form};
use rrm_data::{ImageRng, Stream};
use rrm_spec::{Norm, PgdStart};

use crate::victims::{assert_close, images, pixels};

const FORMS: [Form; 3] = [Form::MadryLab, Form::CroceHein, Form::Art];

fn random(row: usize) -> ImageRng {
    ImageRng::new(1, Stream::AttackEvaluation, &[row as u64])
}

fn grey(count: usize, size: usize) -> Tensor {
    Tensor::full(0.5f64, (count, 1, 1, size), &Device::Cpu).unwrap()
}

fn start(norm: Norm, epsilon: f64, start: PgdStart, natural: &Tensor) -> Vec<f64> {
    pixels(&Ball { norm, epsilon }.random_start(Form::MadryLab, start, natural, random).unwrap())
}

#[test]
fn linf_clips_to_the_ball_and_to_the_box_in_every_form() {
    let (natural, outside) = (images(&[[0.5, 0.95, 0.02]]), images(&[[0.75, 2.0, -1.0]]));
    for form in FORMS {
        let projected = Ball { norm: Norm::Linf, epsilon: 0.1 }.project(form, &outside, &natural).unwrap();
        assert_close(&pixels(&projected), &[0.6, 1.0, 0.0]);
    }
}

#[test]
fn l2_forms_differ_in_which_clip_comes_first() {
    let (natural, outside) = (images(&[[0.9, 0.5]]), images(&[[1.7, 1.3]]));
    let ball = Ball { norm: Norm::L2, epsilon: 0.5 };
    let project = |form| pixels(&ball.project(form, &outside, &natural).unwrap());
    // Ball first: the change (0.8, 0.8) shrinks to length 0.5, and its first half then leaves the box.
    let half = 0.5f64.sqrt() / 2.0;
    let length = 1.28f64.sqrt();
    assert_close(&project(Form::MadryLab), &[1.0, 0.5 + 0.8 * 0.5 / (length + 1e-7)]);
    assert_close(&project(Form::CroceHein), &[1.0, 0.5 + half]);
    // Box first: (0.1, 0.5), of length 0.26^½, shrinks to length 0.5.
    let shrinkage = 0.5 / (0.26f64.sqrt() + 1e-7);
    assert_close(&project(Form::Art), &[0.9 + 0.1 * shrinkage, 0.5 + 0.5 * shrinkage]);
}

#[test]
fn points_inside_stay_where_they_are() {
    let (natural, inside) = (images(&[[0.5, 0.5]]), images(&[[0.55, 0.47]]));
    for form in FORMS {
        for norm in [Norm::Linf, Norm::L2, Norm::L1] {
            let projected = Ball { norm, epsilon: 0.1 }.project(form, &inside, &natural).unwrap();
            assert_close(&pixels(&projected), &pixels(&inside));
        }
    }
}

#[test]
fn steps_go_along_the_sign_or_the_direction_of_the_gradient() {
    let (from, gradient) = (images(&[[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]), images(&[[3.0, -4.0, 0.0], [0.0, 0.0, 0.0]]));
    let step = |norm| pixels(&Ball { norm, epsilon: 1.0 }.step(Form::MadryLab, &from, &gradient, 0.1).unwrap());
    assert_close(&step(Norm::Linf), &[0.6, 0.4, 0.5, 0.5, 0.5, 0.5]);
    assert_close(&step(Norm::L2), &[0.56, 0.42, 0.5, 0.5, 0.5, 0.5]);
}

#[test]
fn the_natural_start_is_the_image() {
    let natural = grey(2, 5);
    for norm in [Norm::Linf, Norm::L2, Norm::L1] {
        assert_eq!(start(norm, 0.1, PgdStart::Natural, &natural), pixels(&natural));
    }
}

#[test]
fn uniform_linf_starts_fill_the_box_of_changes_evenly() {
    let started = start(Norm::Linf, 0.1, PgdStart::Uniform, &grey(1, 40_000));
    let change: Vec<f64> = started.iter().map(|z| (z - 0.5) / 0.1).collect();
    let moment = |power: i32| change.iter().map(|c| c.powi(power)).sum::<f64>() / change.len() as f64;
    assert!(change.iter().all(|c| (-1.0..=1.0).contains(c)));
    // Four standard deviations of the mean are 0.012, of the mean square 0.006.
    assert!(moment(1).abs() < 0.012 && (moment(2) - 1.0 / 3.0).abs() < 0.006, "{} {}", moment(1), moment(2));
}

#[test]
fn sphere_starts_change_by_exactly_epsilon() {
    let natural = grey(20, 16);
    for norm in [Norm::Linf, Norm::L2, Norm::L1] {
        let ball = Ball { norm, epsilon: 0.1 };
        let started = ball.random_start(Form::CroceHein, PgdStart::Sphere, &natural, random).unwrap();
        assert_close(&ball.distances(&started, &natural).unwrap(), &[0.1; 20]);
    }
}

#[test]
fn uniform_l2_starts_fill_the_ball_evenly() {
    let (ball, natural) = (Ball { norm: Norm::L2, epsilon: 0.1 }, grey(10_000, 3));
    let started = ball.random_start(Form::MadryLab, PgdStart::Uniform, &natural, random).unwrap();
    let distances = ball.distances(&started, &natural).unwrap();
    // A share of radius^3 lies within a radius; four standard deviations of a share are below 0.02.
    for radius in [0.3f64, 0.5, 0.8] {
        let within = distances.iter().filter(|&&distance| distance <= 0.1 * radius).count();
        assert!((within as f64 / 1e4 - radius.powi(3)).abs() < 0.02, "{within} within {radius}");
    }
    let mean = pixels(&started).iter().sum::<f64>() / 3e4;
    assert!((mean - 0.5).abs() < 0.002, "{mean}");
}

#[test]
fn uniform_l1_starts_fill_the_ball_evenly() {
    let (ball, natural) = (Ball { norm: Norm::L1, epsilon: 0.1 }, grey(10_000, 3));
    let started = ball.random_start(Form::MadryLab, PgdStart::Uniform, &natural, random).unwrap();
    let distances = ball.distances(&started, &natural).unwrap();
    // A share of radius^3 lies within a radius; four standard deviations of a share are below 0.02.
    for radius in [0.3f64, 0.5, 0.8] {
        let within = distances.iter().filter(|&&distance| distance <= 0.1 * radius).count();
        assert!((within as f64 / 1e4 - radius.powi(3)).abs() < 0.02, "{within} within {radius}");
    }
    // Of three uniform shares of a length each exceeds a half with chance 1/4.
    let changes = pixels(&started);
    let long = |change: &[f64], distance: f64| change.iter().any(|z| (z - 0.5).abs() > distance / 2.0);
    let share =
        changes.chunks(3).zip(distances).filter(|(change, distance)| long(change, *distance)).count() as f64 / 1e4;
    assert!((share - 0.75).abs() < 0.02, "{share}");
}

#[test]
fn arts_uniform_l1_starts_have_a_radius_whose_square_is_even() {
    let (ball, natural) = (Ball { norm: Norm::L1, epsilon: 0.1 }, grey(10_000, 5));
    let started = ball.random_start(Form::Art, PgdStart::Uniform, &natural, random).unwrap();
    let distances = ball.distances(&started, &natural).unwrap();
    // Four standard deviations of a share are below 0.02.
    for radius in [0.3f64, 0.5, 0.8] {
        let within = distances.iter().filter(|&&distance| distance <= 0.1 * radius).count();
        assert!((within as f64 / 1e4 - radius.powi(2)).abs() < 0.02, "{within} within {radius}");
    }
}

#[test]
fn starts_stay_in_the_box() {
    let natural = images(&[[0.0, 1.0, 0.01, 0.99, 0.5, 0.5]]);
    for norm in [Norm::Linf, Norm::L2, Norm::L1] {
        for rule in [PgdStart::Uniform, PgdStart::Sphere] {
            let started = start(norm, 0.3, rule, &natural);
            assert!(started.iter().all(|z| (0.0..=1.0).contains(z)), "{norm} {rule:?}: {started:?}");
        }
    }
}

#[test]
fn in_f32_no_image_leaves_the_ball_by_rounding() {
    let mut rng = random(0);
    let numbers = |rng: &mut ImageRng| (0..3072).map(|_| rng.uniform() as f32).collect::<Vec<_>>();
    let shape = (1, 3, 32, 32);
    let natural = Tensor::from_vec(numbers(&mut rng), shape, &Device::Cpu).unwrap();
    let outside = Tensor::from_vec(numbers(&mut rng), shape, &Device::Cpu).unwrap();
    for (norm, epsilon) in [
        (Norm::Linf, 1.0 / 255.0),
        (Norm::Linf, 8.0 / 255.0),
        (Norm::L2, 0.01),
        (Norm::L2, 1.0),
        (Norm::L1, 1.0),
        (Norm::L1, 12.0),
    ] {
        for form in FORMS {
            let ball = Ball { norm, epsilon };
            let projected = ball.project(form, &outside, &natural).unwrap();
            let distance = ball.distances(&projected, &natural).unwrap()[0];
            assert!(distance <= epsilon * (1.0 + 1e-12), "{ball:?} {form:?}: {distance}");
            assert!(distance >= epsilon * 0.999, "{ball:?} {form:?}: {distance}");
        }
    }
}

#[test]
fn images_of_another_shape_or_type_are_refused() {
    let ball = Ball { norm: Norm::Linf, epsilon: 0.1 };
    assert!(ball.project(Form::Art, &grey(2, 3), &grey(3, 2)).is_err());
    assert!(ball.distances(&grey(2, 3), &grey(2, 3).to_dtype(DType::F32).unwrap()).is_err());
    let bytes = grey(1, 3).to_dtype(DType::U8).unwrap();
    assert!(ball.project(Form::Art, &bytes, &bytes).is_err());
}
