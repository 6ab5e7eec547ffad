//! `square_<net>.safetensors`: Square Attack, with a recorded stream in place of random numbers.
//!
//! The reference draws squares and signs for a whole batch, we draw them for each image. So each image is given the numbers of the
//! batch's stream that the reference used for it.

use anyhow::{Context, Result, ensure};
use candle_core::Tensor;
use rrm_attacks::{
    Ball, Square,
    square::{Round, SingleRun},
};
use rrm_spec::{Mode, SquareLoss, SquareSchedule};
use serde_json::Value;

use crate::{
    arithmetic::Arithmetic,
    compare::{Report, Tolerance, tolerance_after},
    flat,
    folder::{Folder, Tensors},
    pgd::Given,
    victims::{Victim, norm_named},
};

/// Radius in units of the net's small one, where the index gives none.
const RADIUS: f64 = 10.0;

/// What f32 margins may be off f64's, where no near-tie was decided another way.
const SINGLE: f64 = 1e-3;

pub(crate) fn is_known(file: &str) -> bool {
    file.starts_with("square_") && file.ends_with(".safetensors")
}

pub(crate) fn compare(folder: &Folder, file: &str) -> Result<Report> {
    let (tensors, entry) = (folder.tensors(file)?, folder.entry(file)?);
    let net = entry.parameters["net"].as_str().and_then(|text| text.split(',').next()).context("net")?;
    let tolerance = tolerance_after(&entry.tolerance, "f64")?;
    let mut report = Report::default();
    for &arithmetic in Arithmetic::all() {
        report.begin(arithmetic);
        let victim = Victim::load(folder, net, arithmetic.dtype())?;
        for norm in ["Linf", "L2", "L1"].into_iter().filter(|norm| tensors.has(&format!("{norm}.dist.f64"))) {
            let square = square(&entry.parameters, &victim, norm)?;
            let numbers = Stream::of(folder, &tensors, norm, arithmetic.suffix(), &victim)?;
            let run = Run { tensors: &tensors, victim: &victim, norm, arithmetic, tolerance, square };
            arithmetic.during(|| run.compare(&numbers, &mut report))?;
        }
    }
    tensors.all()?;
    Ok(report)
}

fn square(parameters: &Value, victim: &Victim, norm: &str) -> Result<Square> {
    ensure!(parameters["resc_schedule"] == false, "a rescaled schedule was not expected");
    let epsilon = match parameters["epsilon"].as_f64() {
        Some(epsilon) => epsilon,
        None => RADIUS * victim.epsilon(norm, "small")?,
    };
    Ok(Square {
        ball: Ball { norm: norm_named(norm)?, epsilon },
        queries: parameters["n_queries"].as_u64().context("n_queries")? as u32,
        restarts: 1,
        loss: SquareLoss::Margin,
        initial_share: parameters["p_init"].as_f64().context("p_init")?,
        schedule: SquareSchedule::Fixed,
    })
}

/// A batch's stream, and which images were left when.
struct Stream {
    numbers: Vec<f64>,
    margins: Vec<f64>,
    images: usize,
    channels: usize,
    width: usize,
    has_bumps: bool,
}

impl Stream {
    fn of(folder: &Folder, tensors: &Tensors, norm: &str, suffix: &str, victim: &Victim) -> Result<Self> {
        let margins = tensors.get(&format!("{norm}.margin.{suffix}"))?;
        let (rounds, images) = margins.dims2()?;
        let (_, channels, _, width) = victim.pixels.dims4()?;
        // u = (next >> 40) * 2^-24: the upper bits of the generator's numbers. More than enough for all rounds.
        let count = images * channels * width.max(25) + 25 + rounds * (5 + images * channels);
        let coarse = |u: f64| (u * 24f64.exp2()).floor() * (-24f64).exp2();
        let numbers = folder.generator().u01(&format!("square.{norm}"), count).into_iter().map(coarse).collect();
        Ok(Self { numbers, margins: flat(&margins)?, images, channels, width, has_bumps: norm != "Linf" })
    }

    /// The numbers that concern one image.
    fn of_image(&self, image: usize) -> Vec<f64> {
        if self.has_bumps { self.of_bumps(image) } else { self.of_linf(image) }
    }

    /// Stripes for each image; then for all of them a place and a sign for each channel.
    fn of_linf(&self, image: usize) -> Vec<f64> {
        let stripes = self.channels * self.width;
        let own = &self.numbers[image * stripes..][..stripes];
        [own, &self.numbers[self.images * stripes..]].concat()
    }

    /// For each of 25 tiles, and then for each round, numbers for all images, followed by a sign for each channel of each image
    /// that is left.
    fn of_bumps(&self, image: usize) -> Vec<f64> {
        let mut found = Vec::new();
        let mut rest = self.numbers.as_slice();
        let mut take = |shared: usize, before: usize, images: usize| {
            found.extend_from_slice(&rest[..shared]);
            found.extend_from_slice(&rest[shared + before * self.channels..][..self.channels]);
            rest = &rest[shared + images * self.channels..];
        };
        (0..25).for_each(|_| take(1, image, self.images));
        for margins in self.margins.chunks(self.images) {
            let left: Vec<usize> = (0..self.images).filter(|&image| margins[image] > 0.0).collect();
            let Some(before) = left.iter().position(|&other| other == image) else { break };
            take(5, before, left.len());
        }
        // In f32 a near-tie may leave an image in the search that the reference had done with.
        found.extend_from_slice(rest);
        found
    }
}

struct Run<'a> {
    tensors: &'a Tensors,
    victim: &'a Victim,
    norm: &'a str,
    arithmetic: Arithmetic,
    tolerance: f64,
    square: Square,
}

impl Run<'_> {
    fn compare(&self, stream: &Stream, report: &mut Report) -> Result<()> {
        let (mut margins, mut losses) = (Vec::new(), Vec::new());
        let result = self.follow(stream, &mut |round| {
            margins.extend_from_slice(round.margins);
            losses.extend_from_slice(round.losses);
        })?;
        let queries: Vec<f64> = result.queries.iter().map(|&queries| f64::from(queries)).collect();
        let distances = self.victim.distances(self.norm, &self.whole(&result.images)?)?;
        let distances = &distances[..stream.images];
        if self.arithmetic != Arithmetic::Double {
            return self.compare_single(&margins, &losses, &queries, distances, report);
        }
        for (what, found) in [("margin", margins.as_slice()), ("loss", &losses), ("dist", distances)] {
            report.close(&self.full(what), found, &self.numbers(what)?, Tolerance::Absolute(self.tolerance));
        }
        report.close(&self.full("n_queries"), &queries, &self.numbers("n_queries")?, Tolerance::Exact);
        let name = format!("{}.x_best_img0_5", self.norm);
        let found = Tensor::cat(&[result.images.narrow(0, 0, 1)?, result.images.narrow(0, 5, 1)?], 0)?;
        report.close(&name, &flat(&found)?, &self.tensors.numbers(&name)?, Tolerance::Absolute(1e-7)); // Stored in f32.
        Ok(())
    }

    /// In f32 a near-tie may be decided the other way: as much as in PyTorch's own f32 run must go f64's way.
    fn compare_single(
        &self,
        margins: &[f64],
        losses: &[f64],
        queries: &[f64],
        distances: &[f64],
        report: &mut Report,
    ) -> Result<()> {
        let often = self.arithmetic.as_often();
        for (what, found, tolerance) in [
            ("margin", margins, Tolerance::Absolute(SINGLE)),
            ("loss", losses, Tolerance::Absolute(SINGLE)),
            ("n_queries", queries, Tolerance::Exact),
            ("dist", distances, Tolerance::Each(SINGLE)),
        ] {
            let exact = self.tensors.numbers(&format!("{}.{what}.f64", self.norm))?;
            report.as_often(often, &self.full(what), [found, &self.numbers(what)?, &exact], tolerance);
        }
        Ok(())
    }

    fn follow(&self, stream: &Stream, observer: &mut dyn FnMut(&Round<'_>)) -> Result<SingleRun> {
        let Victim { network, pixels, labels, .. } = self.victim;
        let (pixels, labels) = (pixels.narrow(0, 0, stream.images)?, &labels[..stream.images]);
        let random = |row: usize| Given(stream.of_image(row).into_iter());
        Ok(self.square.single_run(network, Mode::Eval, &pixels, labels, random, observer)?)
    }

    /// The images that are attacked, and the others as they are.
    fn whole(&self, images: &Tensor) -> Result<Tensor> {
        let (attacked, all) = (images.dim(0)?, self.victim.len());
        Ok(Tensor::cat(&[images, &self.victim.pixels.narrow(0, attacked, all - attacked)?], 0)?)
    }

    fn numbers(&self, what: &str) -> Result<Vec<f64>> {
        self.tensors.numbers(&self.full(what))
    }

    fn full(&self, what: &str) -> String {
        format!("{}.{what}.{}", self.norm, self.arithmetic.suffix())
    }
}
