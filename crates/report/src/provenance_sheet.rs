//! Where numbers come from, laid out: one line per trained network, and one for everything that they build on.

use std::collections::{BTreeMap, BTreeSet};

use rrm_spec::{ArtifactHash, JobId};

use crate::{
    provenance::{Made, Place, Provenance},
    sheet::{Cell, Content, Sheet, SheetRow, header},
};

/// Digits of a hash that tell it from others of the same study.
const HASH_DIGITS: usize = 12;

/// A line per network, under the label of its row or point; below, under its job's name, each job that they build on and that has no
/// line yet.
pub(crate) fn sheet<'a>(networks: impl Iterator<Item = (&'a str, &'a Provenance)>) -> Sheet {
    let networks: Vec<(&str, &Provenance)> = networks.collect();
    let headers = [
        "network",
        "job",
        "seed",
        "weights",
        "spec",
        "code",
        "machine",
        "threads",
        "data",
        "images",
        "builds on",
        "evaluated by",
    ];
    let built_on = built_on(&networks);
    let own = networks.iter().map(|(label, network)| cells(label, &network.made, &evaluated_by(network)));
    let rows = own.chain(built_on.iter().map(|made| cells(&made.name, made, "")));
    Sheet {
        naming: 1,
        content: Content::Texts,
        headers: headers.map(|text| header([text])).into(),
        rows: rows.map(SheetRow::apart).collect(),
        footnotes: Vec::new(),
        remarks: remarks(&networks, !built_on.is_empty()),
    }
}

/// What the networks build on, each once, in the order of ids.
fn built_on<'a>(networks: &[(&str, &'a Provenance)]) -> Vec<&'a Made> {
    let shown: BTreeSet<JobId> = networks.iter().map(|(_, network)| network.made.job).collect();
    let all = networks.iter().flat_map(|(_, network)| &network.built_on);
    let others = all.filter(|made| !shown.contains(&made.job)).map(|made| (made.job, made));
    others.collect::<BTreeMap<_, _>>().into_values().collect()
}

fn cells(label: &str, made: &Made, evaluated_by: &str) -> Vec<Cell> {
    let Made { job, seed, weights, spec_sha256, dataset, places, parents, .. } = made;
    let first = dataset.train_images.map_or(String::new(), |images| format!(", first {images}"));
    let texts = [
        label.to_owned(),
        format!("#{job}"),
        seed.to_string(),
        weights.as_ref().map_or(String::new(), |hash| short(hash.as_str())),
        short(spec_sha256),
        distinct(places, |place| Some(place.code_version.clone())),
        distinct(places, |place| Some(format!("{}/{}", place.node, place.device))),
        distinct(places, |place| Some(place.threads.to_string())),
        format!("{}{first}", dataset.name),
        // All of them: an attempt that went on with other images is not to be hidden by the newest.
        distinct(places, |place| Some(short(place.data_sha256.as_ref()?.as_str()))),
        numbered(parents.iter()),
        evaluated_by.to_owned(),
    ];
    texts.map(|text| if text.is_empty() { Cell::none() } else { Cell::plain(text) }).into()
}

fn evaluated_by(network: &Provenance) -> String {
    numbered(network.evaluations.iter().map(|evaluation| &evaluation.job))
}

fn remarks(networks: &[(&str, &Provenance)], has_ancestors: bool) -> Vec<String> {
    let mut remarks = vec![format!(
        "Weights, spec and images: the first {HASH_DIGITS} digits of their SHA-256. The report as JSON has them whole, the specs \
         themselves, and the same of every evaluation."
    )];
    if has_ancestors {
        remarks.push("Below the networks stands what they build on, under the names of its jobs.".to_owned());
    }
    remarks.extend(evaluated_images(networks).iter().map(|(images, jobs)| {
        format!("Evaluations that worked on images {}: {}.", short(images.as_str()), numbered(jobs.iter()))
    }));
    remarks
}

/// The evaluations by the images that they told.
fn evaluated_images<'a>(networks: &[(&str, &'a Provenance)]) -> BTreeMap<&'a ArtifactHash, BTreeSet<JobId>> {
    let mut found: BTreeMap<&ArtifactHash, BTreeSet<JobId>> = BTreeMap::new();
    for evaluation in networks.iter().flat_map(|(_, network)| &network.evaluations) {
        if let Some(images) = &evaluation.data_sha256 {
            found.entry(images).or_default().insert(evaluation.job);
        }
    }
    found
}

fn numbered<'a>(jobs: impl Iterator<Item = &'a JobId>) -> String {
    jobs.map(|job| format!("#{job}")).collect::<Vec<_>>().join(", ")
}

fn short(hash: &str) -> String {
    hash.chars().take(HASH_DIGITS).collect()
}

fn distinct(places: &[Place], of: impl Fn(&Place) -> Option<String>) -> String {
    places.iter().filter_map(of).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
}
