//! Attacks whose images stay on the device, against the same attacks on the host.

use candle_core::{Device, Tensor};
use rrm_attacks::{AttackRng, Ball, build};
use rrm_data::Stream;
use rrm_spec::{AttackSpec, Mode, Norm, PgdDialect, PgdSelection, PgdSpec, ThreatModel};

use crate::steps::{batch, network};
use crate::support::pgd;
use crate::{OnDevice, Outcome};

pub(crate) fn tests() -> Vec<OnDevice> {
    vec![("attacks_find_on_the_device_what_they_find_on_the_cpu", same_images)]
}

fn in_norm(norm: Norm, selection: PgdSelection) -> PgdSpec {
    let (epsilon, step_size) = if norm == Norm::L2 { ("0.5", "0.125") } else { ("8/255", "2/255") };
    let AttackSpec::Pgd(attack) = pgd(epsilon, step_size, 5, selection) else { panic!("PGD was asked for") };
    PgdSpec { threat: ThreatModel { norm, ..attack.threat }, ..attack }
}

fn attacked(attack: &PgdSpec, device: &Device) -> anyhow::Result<Tensor> {
    let (victim, batch) = (network("resnet18/4", device)?.frozen(), batch(device)?);
    let rng = AttackRng { seed: 3, stream: Stream::AttackTraining, epoch: 1, images: &batch.indices };
    let attack = build(&AttackSpec::Pgd(attack.clone()));
    Ok(attack.perturb(&victim, Mode::Eval, &batch.pixels, &batch.classes, &rng)?.images)
}

fn same_images(device: &Device) -> Outcome {
    let natural = batch(&Device::Cpu).map_err(|error| error.to_string())?.pixels;
    for norm in [Norm::Linf, Norm::L2] {
        for (dialect, selection) in [
            (PgdDialect::Madry, PgdSelection::Last),
            (PgdDialect::Madry, PgdSelection::BestLoss),
            (PgdDialect::Madry, PgdSelection::StopWhenBroken),
            (PgdDialect::Art, PgdSelection::Last),
        ] {
            let attack = PgdSpec { dialect, ..in_norm(norm, selection) };
            let got = attacked(&attack, device).map_err(|error| error.to_string())?.to_device(&Device::Cpu)?;
            let expected = attacked(&attack, &Device::Cpu).map_err(|error| error.to_string())?;
            let flat = |t: &Tensor| t.flatten_all()?.to_vec1::<f32>();
            let (found, expected) = (flat(&got)?, flat(&expected)?);
            // A sixteenth of a step: a sign that flips at a rounding moves a pixel by two steps.
            let apart = |(a, b): &(&f32, &f32)| (*a - *b).abs() > 2.0 / 255.0 / 16.0;
            let share = found.iter().zip(&expected).filter(apart).count() as f64 / found.len() as f64;
            println!("    {norm:?}, {dialect:?}, {selection:?}: {share:.5} of the pixels differ");
            if share > 0.01 {
                return Err(format!("{norm:?}, {dialect:?}, {selection:?}: {share} of the pixels differ").into());
            }
            let ball = Ball::from(&attack.threat);
            let farthest = ball.distances(&got, &natural)?.into_iter().fold(0.0, f64::max);
            if farthest > ball.epsilon {
                return Err(format!("{norm:?}, {dialect:?}, {selection:?}: {farthest} is out of the ball").into());
            }
        }
    }
    Ok(())
}
