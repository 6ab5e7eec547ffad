//! `fab_<net>.safetensors`: the fast adaptive boundary attack.

use anyhow::{Context, Result};
use candle_core::Tensor;
use rrm_attacks::{Attack, AttackRng, Ball, Fab, Nearest, fab::Goal};
use rrm_data::Stream;
use rrm_spec::Mode;

use crate::{
    arithmetic::Arithmetic,
    compare::{Report, Tolerance, tolerance_after},
    flat,
    folder::{Folder, Tensors},
    victims::{Victim, norm_named},
};

/// Target classes of a whole attack.
const TARGETS: u32 = 4;

pub(crate) fn is_known(file: &str) -> bool {
    file.starts_with("fab_") && file.ends_with(".safetensors")
}

pub(crate) fn compare(folder: &Folder, file: &str) -> Result<Report> {
    let (tensors, entry) = (folder.tensors(file)?, folder.entry(file)?);
    let mut report = Report::default();
    for &arithmetic in Arithmetic::all() {
        report.begin(arithmetic);
        let victim = Victim::load(folder, entry.parameters["net"].as_str().context("net")?, arithmetic.dtype())?;
        let tolerance = tolerance_after(&entry.tolerance, &format!("{} dist", arithmetic.suffix()))
            .or_else(|_| tolerance_after(&entry.tolerance, arithmetic.suffix()))?;
        let count = |name: &str| entry.parameters[name].as_u64().with_context(|| name.to_owned());
        let iterations = [count("n_iter")?, count("untargeted n_iter")?].map(|count| count as u32);
        let epsilon = entry.parameters["epsilon"].as_f64();
        let comparison = Comparison { tensors: &tensors, victim: &victim, arithmetic, tolerance, iterations, epsilon };
        let ending = format!(".dist.{}", arithmetic.suffix());
        for name in tensors.names().iter().filter_map(|name| name.strip_suffix(&ending)) {
            arithmetic.during(|| comparison.compare(name, &mut report))?;
        }
    }
    tensors.all()?;
    Ok(report)
}

struct Comparison<'a> {
    tensors: &'a Tensors,
    victim: &'a Victim,
    arithmetic: Arithmetic,
    tolerance: f64,
    /// Of runs with and without target.
    iterations: [u32; 2],
    /// Where it is not the net's small one.
    epsilon: Option<f64>,
}

impl Comparison<'_> {
    /// An attack named like `L2.targeted3`, `L2.untargeted` or `L2.perturb_4targets`.
    fn compare(&self, name: &str, report: &mut Report) -> Result<()> {
        let (norm, kind) = name.split_once('.').context("a norm and a kind")?;
        match kind.strip_prefix("targeted") {
            Some(rank) => {
                let classes = self.victim.ranked(rank.parse()?);
                let nearest = self.nearest(norm, self.iterations[0], Goal::Classes(&classes))?;
                self.compare_images(name, &nearest.images, report)?;
                self.compare_nearest(name, &nearest, report)
            }
            None if kind == "untargeted" => {
                let nearest = self.nearest(norm, self.iterations[1], Goal::AnyClass)?;
                self.compare_nearest(name, &nearest, report)
            }
            None => self.compare_whole(name, norm, report),
        }
    }

    fn attack(&self, norm: &str, iterations: u32) -> Result<Fab> {
        let epsilon = self.epsilon.map_or_else(|| self.victim.epsilon(norm, "small"), Ok)?;
        let ball = Ball { norm: norm_named(norm)?, epsilon };
        Ok(Fab { ball, iterations, restarts: 1, targets: Some(TARGETS) })
    }

    fn nearest(&self, norm: &str, iterations: u32, goal: Goal<'_>) -> Result<Nearest> {
        let Victim { network, pixels, labels, .. } = self.victim;
        Ok(self.attack(norm, iterations)?.single_run(network, Mode::Eval, pixels, labels, goal)?)
    }

    fn compare_nearest(&self, name: &str, nearest: &Nearest, report: &mut Report) -> Result<()> {
        let fooled: Vec<f64> = nearest.distances.iter().map(|found| f64::from(u8::from(found.is_some()))).collect();
        report.close(&self.full(name, "fooled"), &fooled, &self.numbers(name, "fooled")?, Tolerance::Exact);
        let distances: Vec<f64> = nearest.distances.iter().map(|found| found.unwrap_or(0.0)).collect();
        self.compare_distances(name, &distances, report)
    }

    fn compare_distances(&self, name: &str, distances: &[f64], report: &mut Report) -> Result<()> {
        let (told, tolerance) = (self.numbers(name, "dist")?, Tolerance::Each(self.tolerance));
        if name.starts_with("L1") && self.arithmetic != Arithmetic::Double {
            // In l1 pixels go all their way or none, and rounding decides which: PyTorch's own f32 runs part from its f64 ones.
            let exact = self.tensors.numbers(&format!("{name}.dist.f64"))?;
            let paths = [distances, &told, &exact];
            report.as_often(self.arithmetic.as_often(), &self.full(name, "dist"), paths, tolerance);
        } else {
            report.close(&self.full(name, "dist"), distances, &told, tolerance);
        }
        Ok(())
    }

    /// Points are told of f64 alone.
    fn compare_images(&self, name: &str, images: &Tensor, report: &mut Report) -> Result<()> {
        let name = format!("{name}.adv_img0_5");
        let told = self.tensors.numbers(&name)?;
        if self.arithmetic == Arithmetic::Double {
            let found = flat(&Tensor::cat(&[images.narrow(0, 0, 1)?, images.narrow(0, 5, 1)?], 0)?)?;
            report.close(&name, &found, &told, Tolerance::Absolute(self.tolerance));
        }
        Ok(())
    }

    fn compare_whole(&self, name: &str, norm: &str, report: &mut Report) -> Result<()> {
        let Victim { network, pixels, labels, .. } = self.victim;
        let images: Vec<u32> = (0..labels.len() as u32).collect();
        let rng = AttackRng { seed: 0, stream: Stream::AttackEvaluation, epoch: 0, images: &images };
        let attack = self.attack(norm, self.iterations[0])?;
        let attacked = attack.perturb(network, Mode::Eval, pixels, labels, &rng)?;
        let robust: Vec<f64> = attacked.broken_by.iter().map(|by| f64::from(u8::from(by.is_none()))).collect();
        report.close(&self.full(name, "robust"), &robust, &self.numbers(name, "robust")?, Tolerance::Exact);
        self.compare_distances(name, &self.victim.distances(norm, &attacked.images)?, report)
    }

    fn numbers(&self, name: &str, what: &str) -> Result<Vec<f64>> {
        self.tensors.numbers(&self.full(name, what))
    }

    fn full(&self, name: &str, what: &str) -> String {
        format!("{name}.{what}.{}", self.arithmetic.suffix())
    }
}
