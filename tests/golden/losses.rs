//! `losses.safetensors`: values per row, and gradients of the sum over rows.

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor, Var};
use rrm_losses::{cosine, cross_entropy, dlr, l2_distance, relative_l2, targeted_dlr};
use rrm_spec::DistillationForm;
use rrm_train::step::SoftTargets;

use crate::{
    compare::{Report, Tolerance, tolerance_after},
    flat,
    folder::{Folder, Tensors},
};

/// `CosineSimilarity(eps=1e-6)`, as in the index's description.
const COSINE_EPSILON: f64 = 1e-6;
/// The row of `s` and `t` whose teacher is zero.
const ZERO_TEACHER: usize = 4;

pub(crate) fn compare(folder: &Folder, file: &str) -> Result<Report> {
    let tensors = folder.tensors(file)?;
    let text = &folder.entry(file)?.tolerance;
    let mut report = Report::default();
    for (dtype, suffix) in [(DType::F64, "f64"), (DType::F32, "f32")] {
        let tolerance = tolerance_after(text, suffix)?;
        let mut losses = Losses { tensors: &tensors, dtype, suffix, tolerance, report: &mut report };
        losses.cross_entropy()?;
        losses.dlr()?;
        losses.representation()?;
        losses.distillation()?;
    }
    report.skip("cos_torch17: PyTorch 1.7's denominator; ours is the newer one");
    report.skip("kd_*.f32: PyTorch's f32 divergence has more rounding than digits; ours is held to its f64");
    report.skip("rel_l2.ds of the zero teacher: NaN in PyTorch, 0 here by decision");
    report
        .skip("dlr*.dz of the tied rows 2 and 3: which of equal classes takes the gradient is PyTorch's sort's choice");
    let other_rule = |name: &str| name.starts_with("cos_torch17");
    let excused = |name: &str| other_rule(name) || name.starts_with("kd_") && name.ends_with(".f32");
    tensors.all_but("another rule's numbers, or PyTorch's f32 ones where we are held to f64", &mut report, excused)?;
    Ok(report)
}

struct Losses<'a> {
    tensors: &'a Tensors,
    dtype: DType,
    suffix: &'static str,
    tolerance: f64,
    report: &'a mut Report,
}

/// Values of a loss and the gradient of their sum.
struct Found {
    values: Vec<f64>,
    gradient: Vec<f64>,
}

fn differentiate(x: &Var, loss: &Tensor) -> Result<Found> {
    let gradients = loss.sum_all()?.backward()?;
    Ok(Found { values: flat(loss)?, gradient: flat(gradients.get(x).context("no gradient")?)? })
}

impl Losses<'_> {
    fn variable(&self, name: &str) -> Result<Var> {
        Ok(Var::from_tensor(&self.constant(name)?)?)
    }

    fn constant(&self, name: &str) -> Result<Tensor> {
        Ok(self.tensors.get(name)?.to_dtype(self.dtype)?)
    }

    fn labels(&self, name: &str) -> Result<Tensor> {
        Ok(Tensor::new(self.tensors.labels(name)?, &Device::Cpu)?)
    }

    /// Rows are of very different sizes: each is compared by its own largest number, and by no less than 1.
    fn check(&mut self, name: &str, found: &[f64], rows: usize, left_out: &[usize]) -> Result<()> {
        // PyTorch's f32 divergences have more rounding than digits at high temperatures: we are held to its f64.
        let suffix = if name.starts_with("kd_") { "f64" } else { self.suffix };
        let expected = self.tensors.numbers(&format!("{name}.{suffix}"))?;
        let name = format!("{name}.{}", self.suffix);
        self.report.same(&format!("{name}: length"), &found.len(), &expected.len());
        let width = (expected.len() / rows).max(1);
        for (row, (found, expected)) in found.chunks(width).zip(expected.chunks(width)).enumerate() {
            if !left_out.contains(&row) {
                let largest = expected.iter().filter(|e| e.is_finite()).fold(1.0f64, |largest, e| largest.max(e.abs()));
                let tolerance = Tolerance::Absolute(self.tolerance * largest);
                self.report.close(&format!("{name} row {row}"), found, expected, tolerance);
            }
        }
        Ok(())
    }

    fn cross_entropy(&mut self) -> Result<()> {
        let z = self.variable("z")?;
        let loss = cross_entropy(&z, &self.labels("y")?)?;
        let found = differentiate(&z, &loss)?;
        self.check("ce", &found.values, found.values.len(), &[])?;
        self.check("ce.dz", &found.gradient, found.values.len(), &[])?;
        self.check("ce_mean", &flat(&loss.mean_all()?)?, 1, &[])
    }

    fn dlr(&mut self) -> Result<()> {
        // Row 2 is a complete tie, row 3 one of the true class and the next.
        const TIED: [usize; 2] = [2, 3];
        let (z, labels) = (self.variable("z")?, self.labels("y")?);
        let found = differentiate(&z, &dlr(&z, &labels)?)?;
        self.check("dlr", &found.values, found.values.len(), &[])?;
        self.check("dlr.dz", &found.gradient, found.values.len(), &TIED)?;
        for name in self.tensors.names() {
            let Some(loss) = name.strip_suffix(&format!(".target.{}", self.suffix)) else { continue };
            let found = differentiate(&z, &targeted_dlr(&z, &labels, &self.labels(&name)?)?)?;
            self.check(loss, &found.values, found.values.len(), &[])?;
            self.check(&format!("{loss}.dz"), &found.gradient, found.values.len(), &TIED)?;
        }
        Ok(())
    }

    fn representation(&mut self) -> Result<()> {
        let (student, teacher) = (self.variable("s")?, self.constant("t")?);
        let similarity = cosine(&student, &teacher, COSINE_EPSILON)?;
        let found = differentiate(&student, &similarity)?;
        let rows = found.values.len();
        self.check("cos", &found.values, rows, &[])?;
        self.check("cos.ds", &found.gradient, rows, &[])?;
        self.check("cos_mean", &flat(&similarity.mean_all()?)?, 1, &[])?;

        let found = differentiate(&student, &l2_distance(&student, &teacher)?)?;
        self.check("l2dist", &found.values, rows, &[])?;
        self.check("l2dist.ds", &found.gradient, rows, &[])?;

        let mut found = differentiate(&student, &relative_l2(&student, &teacher)?)?;
        self.check("rel_l2.ds", &found.gradient, rows, &[ZERO_TEACHER])?;
        let distance = found.values.remove(ZERO_TEACHER);
        self.check("rel_l2_row4_zero_teacher", &[distance], 1, &[])?;
        self.check("rel_l2_rows_without_4", &found.values, rows - 1, &[])
    }

    /// Distillation losses named like `kd_textbook_T30_a0.5`, by the training step's own terms.
    fn distillation(&mut self) -> Result<()> {
        for name in self.tensors.names() {
            let Some(loss) = name.strip_suffix(&format!(".dsl.{}", self.suffix)) else { continue };
            let parameter = |prefix: &str| -> Result<f64> {
                let part = loss.split('_').find_map(|part| part.strip_prefix(prefix)?.parse().ok());
                part.with_context(|| format!("`{loss}` has no {prefix}"))
            };
            let (temperature, alpha) = (parameter("T")?, parameter("a")?);
            let (student, teacher) = (self.variable("kd.sl")?, self.constant("kd.tl")?);
            // The released form is told of networks that divide by the temperature themselves.
            let (form, divisor) = match loss.starts_with("kd_released") {
                true => (DistillationForm::Released, temperature),
                false => (DistillationForm::Textbook, 1.0),
            };
            let terms = SoftTargets { temperature, alpha, form };
            let (logits, target) = ((student.as_tensor() / divisor)?, (&teacher / divisor)?);
            let scalar = (terms.divergence(&logits, &target)? + terms.cross_entropy(&logits, &self.labels("y")?)?)?;
            let found = differentiate(&student, &scalar)?;
            self.check(loss, &found.values, 1, &[])?;
            self.check(&format!("{loss}.dsl"), &found.gradient, 1, &[])?;
        }
        Ok(())
    }
}
