//! ResNet18 in stock candle_nn and from this crate's operations, interleaved in one run.
//!
//! `cargo bench -p rrm-kernels --bench stock_candle -- [--mode train|attack|eval] [--batch N] [--divisor D] [--channels C]
//! [--rounds R] [--only ours|stock]` prints one JSON object: images per second of both (medians), and their ratio.

#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

#[path = "stock_candle/ours.rs"]
mod ours;
#[path = "stock_candle/plan.rs"]
mod plan;
#[path = "stock_candle/stock.rs"]
mod stock;

use std::collections::HashMap;
use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor, Var, bail};
use candle_nn::{Optimizer, SGD, VarBuilder, VarMap};
use rrm_kernels::{SgdConfig, keep_freed_memory, sgd_step};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Train,
    Attack,
    Eval,
}

struct Options {
    mode: Mode,
    batch: usize,
    divisor: usize,
    channels: usize,
    rounds: usize,
    only: Option<String>,
}

fn options() -> Result<Options> {
    let mut options = Options { mode: Mode::Train, batch: 128, divisor: 1, channels: 3, rounds: 3, only: None };
    // Cargo itself adds `--bench`.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_default();
        let number = || value.parse::<usize>().map_err(candle_core::Error::wrap);
        match (word.as_str(), value.as_str()) {
            ("--mode", "train") => options.mode = Mode::Train,
            ("--mode", "attack") => options.mode = Mode::Attack,
            ("--mode", "eval") => options.mode = Mode::Eval,
            ("--batch", _) => options.batch = number()?,
            ("--divisor", _) => options.divisor = number()?,
            ("--channels", _) => options.channels = number()?,
            ("--rounds", _) => options.rounds = number()?,
            ("--only", "ours" | "stock") => options.only = Some(value),
            _ => bail!("unknown option {word} {value}"),
        }
    }
    Ok(options)
}

/// A batch, and both networks over the same variables.
struct Bench {
    images: Tensor,
    labels: Tensor,
    variables: Vec<Var>,
    stock: stock::ResNet18,
    ours: ours::ResNet18,
}

impl Bench {
    fn new(options: &Options) -> Result<Self> {
        let (device, map) = (Device::Cpu, VarMap::new());
        let builder = VarBuilder::from_varmap(&map, DType::F32, &device);
        let (channels, divisor) = (options.channels, options.divisor);
        let mut stock = stock::ResNet18::new(&builder, channels, divisor)?;
        let mut ours = ours::ResNet18::new(&builder, channels, divisor)?;
        if options.mode != Mode::Train {
            let frozen = frozen(&map);
            let builder = VarBuilder::from_tensors(frozen, DType::F32, &device);
            stock = stock::ResNet18::new(&builder, channels, divisor)?;
            ours = ours::ResNet18::new(&builder, channels, divisor)?;
        }
        let trainable = map.data().lock().expect("no other thread").clone().into_iter();
        let variables = trainable.filter(|(name, _)| !name.contains("running")).map(|(_, variable)| variable).collect();
        let images = Tensor::rand(0f32, 1., (options.batch, channels, 32, 32), &device)?;
        let labels = Tensor::from_iter((0..options.batch).map(|i| (i % 10) as u32), &device)?;
        Ok(Self { images, labels, variables, stock, ours })
    }

    fn loss(&self, logits: &Tensor) -> Result<Tensor> {
        candle_nn::loss::cross_entropy(logits, &self.labels)
    }

    /// One step of `mode`; returns the loss, so that both networks can be compared.
    fn step(
        &self,
        mode: Mode,
        forward: &dyn Fn(&Tensor, bool) -> Result<Tensor>,
        update: &mut dyn FnMut(&candle_core::backprop::GradStore) -> Result<()>,
    ) -> Result<f32> {
        let loss = match mode {
            Mode::Train => {
                let loss = self.loss(&forward(&self.images, true)?)?;
                update(&loss.backward()?)?;
                loss
            }
            Mode::Attack => {
                let images = Var::from_tensor(&self.images)?;
                let loss = self.loss(&forward(images.as_tensor(), false)?)?;
                let gradients = loss.backward()?;
                gradients.get(images.as_tensor()).expect("the images are tracked");
                loss
            }
            Mode::Eval => self.loss(&forward(&self.images, false)?)?,
        };
        loss.to_scalar()
    }
}

fn frozen(map: &VarMap) -> HashMap<String, Tensor> {
    let variables = map.data().lock().expect("no other thread");
    variables.iter().map(|(name, variable)| (name.clone(), variable.as_detached_tensor())).collect()
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    if seconds.is_empty() { f64::NAN } else { seconds[seconds.len() / 2] }
}

fn main() -> Result<()> {
    keep_freed_memory();
    let options = options()?;
    let bench = Bench::new(&options)?;
    let mut stock_sgd = SGD::new(bench.variables.clone(), 0.0)?;
    let zeros = |variable: &Var| Var::from_tensor(&variable.zeros_like()?);
    let buffers: Vec<Var> = bench.variables.iter().map(zeros).collect::<Result<_>>()?;
    // A learning rate of 0: the same work, and both networks keep the same weights.
    let config = SgdConfig { learning_rate: 0.0, momentum: 0.9, weight_decay: 5e-4 };
    let (mut stock_seconds, mut our_seconds) = (Vec::new(), Vec::new());
    let (mut stock_loss, mut our_loss) = (f32::NAN, f32::NAN);
    for _ in 0..options.rounds {
        if options.only.as_deref() != Some("ours") {
            let start = Instant::now();
            let forward = |x: &Tensor, train| bench.stock.forward(x, train);
            stock_loss = bench.step(options.mode, &forward, &mut |gradients| stock_sgd.step(gradients))?;
            stock_seconds.push(start.elapsed().as_secs_f64());
        }
        if options.only.as_deref() != Some("stock") {
            let start = Instant::now();
            let forward = |x: &Tensor, train| bench.ours.forward(x, train);
            our_loss = bench.step(options.mode, &forward, &mut |gradients| {
                for (variable, buffer) in bench.variables.iter().zip(&buffers) {
                    let gradient = gradients.get(variable).expect("every variable is used");
                    sgd_step(variable, gradient, buffer, config)?;
                }
                Ok(())
            })?;
            our_seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let images_per_second = |seconds| options.batch as f64 / median(seconds);
    let (stock, ours) = (images_per_second(stock_seconds), images_per_second(our_seconds));
    println!(
        "{{\"arch\": \"resnet18/{}\", \"channels\": {}, \"mode\": \"{:?}\", \"batch\": {}, \"rounds\": {}, \
         \"stock_images_per_second\": {stock:.2}, \"our_images_per_second\": {ours:.2}, \"ratio\": {:.2}, \
         \"stock_loss\": {stock_loss:.6}, \"our_loss\": {our_loss:.6}}}",
        options.divisor,
        options.channels,
        options.mode,
        options.batch,
        options.rounds,
        ours / stock
    );
    Ok(())
}
