//! `rdt_vgg11.safetensors` and `train_rdt.json`: robust images, from given starts.

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use rrm_models::Model;
use rrm_spec::Mode;
use rrm_train::synthesis::Descent;
use serde_json::Value;

use crate::{
    compare::{Report, Tolerance, tolerance_after},
    flat,
    folder::Folder,
    generator::Call,
    models::{Meta, norm, normalization},
};

/// Tells distances in f32 too, and how far the images went.
pub(crate) const TOLD: &str = "train_rdt.json";

pub(crate) fn compare(folder: &Folder, file: &str) -> Result<Report> {
    let entry = folder.entry(file)?;
    let (tensors, told): (_, Value) = (folder.tensors(file)?, folder.json(TOLD)?);
    let mut report = Report::default();
    let number = |key: &str| entry.parameters[key].as_f64().with_context(|| format!("no {key}"));
    let descent = Descent { steps: number("steps")? as u32, step_size: number("step_size")? };
    let net = entry.parameters["arch"].as_str().context("no network")?;
    for (dtype, suffix) in [(DType::F64, "f64"), (DType::F32, "f32")] {
        let meta = Meta::of(folder, net)?;
        let normalization = normalization(&entry.parameters["normaliser"])?;
        let network = meta.network(net, normalization, meta.weights(folder.generator())?, dtype)?.frozen();
        let images = |key: &str| -> Result<Tensor> {
            let call = Call::expect("img_u8", &entry.parameters[key])?;
            folder.generator().images(&call.name, &call.numbers, dtype)
        };
        let chosen: Vec<u32> = tensors.labels("start_index")?;
        let start = images("pool")?.index_select(&Tensor::new(chosen.as_slice(), &Device::Cpu)?, 0)?;
        let targets = network.forward(&images("x")?, Mode::Eval)?.representation.detach();
        let mut distances = Vec::new();
        let found = descent.run(&network, &targets, &start, &mut |each| distances.extend_from_slice(each))?;

        let run = &told[format!("rdt_{net}.{suffix}")];
        let numbers = |key: &str| serde_json::from_value::<Vec<f64>>(run[key].clone()).context(key.to_owned());
        let all: Vec<Vec<f64>> = serde_json::from_value(run["distances"].clone()).context("distances")?;
        let each =
            Tolerance::Each(if suffix == "f64" { tolerance_after(&entry.tolerance, "distances")? } else { 1e-3 });
        report.close(&format!("distances.{suffix}"), &distances, &all.concat(), each);
        report.close(&format!("best.{suffix}"), &found.distances, &numbers("best")?, each);
        let moved = flat(&(&found.images - &start)?)?;
        let lengths: Vec<f64> = moved.chunks(moved.len() / chosen.len()).map(norm).collect();
        report.close(&format!("l2_from_start.{suffix}"), &lengths, &numbers("l2_from_start")?, each);
        if suffix == "f64" {
            ensure!(tensors.numbers("distances")?.len() == distances.len(), "not as many distances");
            report.close("distances", &distances, &tensors.numbers("distances")?, each);
            let pixels = Tolerance::Absolute(tolerance_after(&entry.tolerance, "images")?);
            report.close("images_f64", &flat(&found.images)?, &tensors.numbers("images_f64")?, pixels);
        } else {
            let pixels = Tolerance::Absolute(tolerance_after(&entry.tolerance, "f32")?);
            report.close("images", &flat(&found.images)?, &tensors.numbers("images")?, pixels);
        }
    }
    tensors.all()?;
    Ok(report)
}
