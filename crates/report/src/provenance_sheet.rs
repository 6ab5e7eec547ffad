//! Where numbers come from, laid out: one line per trained network.

use std::collections::BTreeSet;

use crate::{
    Run,
    provenance::{Place, Provenance},
    sheet::{Cell, Content, Sheet, SheetRow, header},
};

/// Digits of a hash that tell it from others of the same study.
const HASH_DIGITS: usize = 12;

/// A line per network, under the label of its row or point.
pub(crate) fn sheet<'a>(runs: impl Iterator<Item = (&'a str, &'a Run)>) -> Sheet {
    let headers = ["network", "job", "seed", "weights", "spec", "code", "machine", "threads", "data", "evaluated by"];
    Sheet {
        naming: 1,
        content: Content::Texts,
        headers: headers.map(|text| header([text])).into(),
        rows: runs.map(|(label, run)| SheetRow::apart(cells(label, run))).collect(),
        footnotes: Vec::new(),
        remarks: vec![format!(
            "Weights and spec: the first {HASH_DIGITS} digits of their SHA-256. The report as JSON has them whole, the specs themselves, \
             and the same of every evaluation."
        )],
    }
}

fn cells(label: &str, run: &Run) -> Vec<Cell> {
    let Provenance { job, seed, weights, spec_sha256, dataset, places, evaluations, .. } = &run.provenance;
    let evaluated_by: Vec<String> = evaluations.iter().map(|evaluation| format!("#{}", evaluation.job)).collect();
    let images = dataset.train_images.map_or(String::new(), |images| format!(", first {images}"));
    let texts = [
        label.to_owned(),
        format!("#{job}"),
        seed.to_string(),
        weights.as_ref().map_or(String::new(), |hash| short(hash.as_str())),
        short(spec_sha256),
        distinct(places, |place| place.code_version.clone()),
        distinct(places, |place| format!("{}/{}", place.node, place.device)),
        distinct(places, |place| place.threads.to_string()),
        format!("{}{images}", dataset.name),
        evaluated_by.join(", "),
    ];
    texts.map(|text| if text.is_empty() { Cell::none() } else { Cell::plain(text) }).into()
}

fn short(hash: &str) -> String {
    hash.chars().take(HASH_DIGITS).collect()
}

fn distinct(places: &[Place], of: impl Fn(&Place) -> String) -> String {
    places.iter().map(of).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
}
