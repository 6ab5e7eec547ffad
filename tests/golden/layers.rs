//! `layers.safetensors`: pooling, ReLU, clamp and batch-norm.

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor, Var};
use rrm_kernels::{
    Activation, Epilogue, PoolConfig, batch_norm_eval, batch_norm_train, max_pool2d, normalize, relu, update_running,
};

use crate::{
    compare::{Report, Tolerance, tolerance_after},
    flat,
    folder::{Folder, Tensors},
    generator::Generator,
};

pub(crate) fn compare(folder: &Folder, file: &str) -> Result<Report> {
    let tensors = folder.tensors(file)?;
    let mut report = Report::default();
    for name in tensors.names() {
        match name.strip_suffix(".dx") {
            Some(layer) if layer.starts_with("maxpool") => max_pool(&tensors, layer, &mut report)?,
            Some("relu") => elementwise(&tensors, "relu", |x| Ok(relu(x)?), &mut report)?,
            Some("clamp01") => elementwise(&tensors, "clamp01", clamp, &mut report)?,
            _ => {}
        }
    }
    let tolerance = tolerance_after(&folder.entry(file)?.tolerance, "bn f64")?;
    BatchNorm::new(folder.generator(), &tensors, tolerance).compare(&mut report)?;
    tensors.all()?;
    Ok(report)
}

/// A pool named like `maxpool_3_2_p1`: kernel, stride, padding.
fn pool_config(layer: &str) -> Result<PoolConfig> {
    let mut parts = layer.split('_').skip(1);
    let mut size =
        |what| -> Result<usize> { Ok(parts.next().with_context(|| format!("{layer}: no {what}"))?.parse()?) };
    let (kernel, stride) = (size("kernel")?, size("stride")?);
    let padding = parts.find_map(|part| part.strip_prefix('p')?.parse().ok()).unwrap_or(0);
    Ok(PoolConfig { kernel, stride, padding })
}

fn max_pool(tensors: &Tensors, layer: &str, report: &mut Report) -> Result<()> {
    let x = Var::from_tensor(&tensors.get(&format!("{layer}.x"))?)?;
    let y = max_pool2d(&x, pool_config(layer)?)?;
    let gradients = (&y * tensors.get(&format!("{layer}.w"))?)?.sum_all()?.backward()?;
    let dx = gradients.get(&x).context("no gradient")?;
    report.close(&format!("{layer}.y"), &flat(&y)?, &tensors.numbers(&format!("{layer}.y"))?, Tolerance::Exact);
    report.close(&format!("{layer}.dx"), &flat(dx)?, &tensors.numbers(&format!("{layer}.dx"))?, Tolerance::Exact);
    Ok(())
}

/// The gradient of the sum, where each result depends on its own number alone.
fn elementwise(
    tensors: &Tensors,
    layer: &str,
    apply: impl Fn(&Tensor) -> Result<Tensor>,
    report: &mut Report,
) -> Result<()> {
    let x = Var::from_tensor(&tensors.get(&format!("{layer}.x"))?)?;
    let gradients = apply(&x)?.sum_all()?.backward()?;
    let dx = gradients.get(&x).context("no gradient")?;
    report.close(&format!("{layer}.dx"), &flat(dx)?, &tensors.numbers(&format!("{layer}.dx"))?, Tolerance::Exact);
    Ok(())
}

/// The clamp that every network begins with, of one channel.
fn clamp(x: &Tensor) -> Result<Tensor> {
    Ok(normalize(&x.reshape((1, 1, 1, ()))?, &[0.0], &[1.0])?)
}

/// Three steps of one batch-norm, then an evaluation. The recipe is the index's: weight 1+0.1*sym('bn.w'),
/// bias 0.1*sym('bn.b'), input of step s 2*sym('bn.x{s}')+s, output weights sym('bn.g{s}').
struct BatchNorm<'a> {
    generator: Generator,
    tensors: &'a Tensors,
    tolerance: Tolerance,
}

const EPSILON: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;
const NOTHING_AFTER: Epilogue<'static> = Epilogue { residual: None, activation: Activation::Identity };

impl<'a> BatchNorm<'a> {
    fn new(generator: Generator, tensors: &'a Tensors, tolerance: f64) -> Self {
        Self { generator, tensors, tolerance: Tolerance::Scaled(tolerance) }
    }

    fn compare(&self, report: &mut Report) -> Result<()> {
        let shape = self.tensors.get("bn.y0")?.dims().to_vec();
        let channels = shape[1];
        let gamma = self.generator.sym_tensor("bn.w", &[channels])?.affine(0.1, 1.0)?;
        let beta = self.generator.sym_tensor("bn.b", &[channels])?.affine(0.1, 0.0)?;
        let (gamma, beta) = (Var::from_tensor(&gamma)?, Var::from_tensor(&beta)?);
        let mean = Tensor::zeros(channels, DType::F64, &Device::Cpu)?;
        let var = Tensor::ones(channels, DType::F64, &Device::Cpu)?;
        let (mut dw, mut db) = (mean.zeros_like()?, mean.zeros_like()?);
        for step in (0..).take_while(|step| self.tensors.has(&format!("bn.y{step}"))) {
            let x = self.generator.sym_tensor(&format!("bn.x{step}"), &shape)?.affine(2.0, f64::from(step))?;
            let x = Var::from_tensor(&x)?;
            let (y, batch) = batch_norm_train(&x, &gamma, &beta, EPSILON, NOTHING_AFTER)?;
            update_running(&mean, &batch.mean, MOMENTUM)?;
            update_running(&var, &batch.unbiased_variance, MOMENTUM)?;
            let weights = self.generator.sym_tensor(&format!("bn.g{step}"), &shape)?;
            let gradients = (&y * weights)?.sum_all()?.backward()?;
            dw = (dw + gradients.get(&gamma).context("gamma")?)?;
            db = (db + gradients.get(&beta).context("beta")?)?;
            self.check(report, &format!("bn.y{step}"), &y)?;
            self.check(report, &format!("bn.dx{step}"), gradients.get(&x).context("x")?)?;
            self.check(report, &format!("bn.running_mean{step}"), &mean)?;
            self.check(report, &format!("bn.running_var{step}"), &var)?;
        }
        self.check(report, "bn.dw_accumulated", &dw)?;
        self.check(report, "bn.db_accumulated", &db)?;
        let x = self.generator.sym_tensor("bn.x0", &shape)?.affine(2.0, 0.0)?;
        self.check(report, "bn.y_eval", &batch_norm_eval(&x, &gamma, &beta, &mean, &var, EPSILON, NOTHING_AFTER)?)
    }

    fn check(&self, report: &mut Report, name: &str, found: &Tensor) -> Result<()> {
        report.close(name, &flat(found)?, &self.tensors.numbers(name)?, self.tolerance);
        Ok(())
    }
}
