//! `projections.safetensors`: projections into ball and box.

use anyhow::{Context, Result};
use rrm_attacks::{Ball, Form};
use rrm_spec::Norm;

use crate::{
    compare::{Report, Tolerance, tolerance_after},
    flat,
    folder::Folder,
};

pub(crate) fn compare(folder: &Folder, file: &str) -> Result<Report> {
    let tensors = folder.tensors(file)?;
    let tolerance = Tolerance::Absolute(tolerance_after(&folder.entry(file)?.tolerance, "f64")?);
    let mut report = Report::default();
    for name in tensors.names() {
        let Some((norm, form)) = projection(&name) else { continue };
        // Named like `madry_l2.d300.eps0.1`: numbers per image, radius.
        let (_, rest) = name.split_once(".d").with_context(|| format!("`{name}` has no size"))?;
        let (size, epsilon) = rest.split_once(".eps").with_context(|| format!("`{name}` has no radius"))?;
        let ball = Ball { norm, epsilon: epsilon.parse()? };
        let (x, z) = (tensors.get(&format!("x{size}"))?, tensors.get(&format!("z{size}"))?);
        let found = flat(&ball.project(form, &z, &x)?)?;
        report.close(&name, &found, &tensors.numbers(&name)?, tolerance);
    }
    let excused = |name: &str| name.contains("_l1") || name.starts_with("fab");
    tensors.all_but("neither l1 nor FAB's projections are implemented", &mut report, excused)?;
    Ok(report)
}

fn projection(name: &str) -> Option<(Norm, Form)> {
    match name.split('.').next()? {
        "madry_linf" => Some((Norm::Linf, Form::MadryLab)),
        "madry_l2" => Some((Norm::L2, Form::MadryLab)),
        "art_linf" => Some((Norm::Linf, Form::Art)),
        "art_l2" => Some((Norm::L2, Form::Art)),
        _ => None,
    }
}
