//! `projections.safetensors`: projections into ball and box, and onto a plane within the box.

use anyhow::{Context, Result};
use rrm_attacks::{
    Ball, Form,
    fab::{Hyperplane, project_to_hyperplane},
};
use rrm_spec::Norm;

use crate::{
    compare::{Report, Tolerance, tolerance_after},
    flat,
    folder::{Folder, Tensors},
};

pub(crate) fn compare(folder: &Folder, file: &str) -> Result<Report> {
    let tensors = folder.tensors(file)?;
    let text = &folder.entry(file)?.tolerance;
    let tolerance = Tolerance::Absolute(tolerance_after(text, "f64")?);
    let of_planes = Tolerance::Absolute(tolerance_after(text, "fab f64").unwrap_or(1e-9));
    let mut report = Report::default();
    for name in tensors.names() {
        if let Some(norm) = plane(&name) {
            // Named like `fab_l2.d300`: numbers per image.
            let (_, size) = name.split_once(".d").with_context(|| format!("`{name}` has no size"))?;
            report.close(&name, &on_planes(&tensors, norm, size)?, &tensors.numbers(&name)?, of_planes);
        }
        let Some((norm, form)) = projection(&name) else { continue };
        // Named like `madry_l2.d300.eps0.1`: numbers per image, radius.
        let (_, rest) = name.split_once(".d").with_context(|| format!("`{name}` has no size"))?;
        let (size, epsilon) = rest.split_once(".eps").with_context(|| format!("`{name}` has no radius"))?;
        // Croce & Hein's l1 radius is four times the one that is named.
        let scale = if norm == Norm::L1 && form == Form::CroceHein { 4.0 } else { 1.0 };
        let ball = Ball { norm, epsilon: scale * epsilon.parse::<f64>()? };
        let (x, z) = (tensors.get(&format!("x{size}"))?, tensors.get(&format!("z{size}"))?);
        let found = flat(&ball.project(form, &z, &x)?)?;
        report.close(&name, &found, &tensors.numbers(&name)?, tolerance);
    }
    tensors.all()?;
    Ok(report)
}

fn projection(name: &str) -> Option<(Norm, Form)> {
    match name.split('.').next()? {
        "madry_linf" => Some((Norm::Linf, Form::MadryLab)),
        "madry_l2" => Some((Norm::L2, Form::MadryLab)),
        "art_linf" => Some((Norm::Linf, Form::Art)),
        "art_l2" => Some((Norm::L2, Form::Art)),
        "art_l1" => Some((Norm::L1, Form::Art)),
        "fra31_l1" => Some((Norm::L1, Form::CroceHein)),
        _ => None,
    }
}

fn plane(name: &str) -> Option<Norm> {
    match name.split('.').next()? {
        "fab_linf" => Some(Norm::Linf),
        "fab_l2" => Some(Norm::L2),
        "fab_l1" => Some(Norm::L1),
        _ => None,
    }
}

/// The changes of all images.
fn on_planes(tensors: &Tensors, norm: Norm, size: &str) -> Result<Vec<f64>> {
    let [x, w, b] = [format!("x{size}"), format!("fab.w{size}"), format!("fab.b{size}")];
    let (x, w, b) = (tensors.numbers(&x)?, tensors.numbers(&w)?, tensors.numbers(&b)?);
    let pixels = w.len() / b.len();
    let images = x.chunks(pixels).zip(w.chunks(pixels)).zip(b);
    Ok(images
        .flat_map(|((x, weights), offset)| project_to_hyperplane(norm, x, Hyperplane { weights, offset }))
        .collect())
}
