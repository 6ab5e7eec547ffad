//! A plan's jobs in layers: each stands right of all that it needs (after Sugiyama, Tagawa & Toda 1981: layers by longest path,
//! order within them by the mean place of the neighbours).

use std::collections::HashMap;

use maud::{Markup, html};
use rrm_spec::{JobId, JobSummary};
use rrm_store::Edge;

use crate::words::{sign, standing_words};

const BOX_WIDTH: usize = 190;
const BOX_HEIGHT: usize = 40;
const GAP_X: usize = 50;
const GAP_Y: usize = 12;
const MARGIN: usize = 4;

/// Signs of a name that fit into a box.
const NAME: usize = 21;

/// Passes over the layers; more change next to nothing.
const PASSES: usize = 4;

/// A job in the drawing.
pub(crate) struct Node<'a> {
    pub(crate) job: &'a JobSummary,
    /// Whether it came with another plan.
    pub(crate) is_outside: bool,
}

/// The graph as SVG; nothing where no job needs another. The table of jobs says the same.
pub(crate) fn drawing(nodes: &[Node<'_>], edges: &[Edge]) -> Markup {
    if edges.is_empty() {
        return html! {};
    }
    let ids: Vec<JobId> = nodes.iter().map(|node| node.job.id).collect();
    let layers = layers(&ids, edges);
    let places: HashMap<JobId, (usize, usize)> = layers
        .iter()
        .enumerate()
        .flat_map(|(column, layer)| layer.iter().enumerate().map(move |(row, id)| (*id, (column, row))))
        .collect();
    let rows = layers.iter().map(Vec::len).max().unwrap_or(0);
    let (width, height) =
        (2 * MARGIN + layers.len() * (BOX_WIDTH + GAP_X) - GAP_X, 2 * MARGIN + rows * (BOX_HEIGHT + GAP_Y) - GAP_Y);
    html! {
        h2 { "Graph" }
        div.wide tabindex="0" role="region" aria-label="Graph of the plan's jobs" {
            svg.graph width=(width) height=(height) viewBox=(format!("0 0 {width} {height}")) {
                title { "Each job stands right of the jobs that it needs" }
                g.edges { @for edge in edges { (arc(edge, &places)) } }
                @for node in nodes { @if let Some(place) = places.get(&node.job.id) { (drawn(node, *place)) } }
            }
        }
    }
}

fn corner((column, row): (usize, usize)) -> (usize, usize) {
    (MARGIN + column * (BOX_WIDTH + GAP_X), MARGIN + row * (BOX_HEIGHT + GAP_Y))
}

fn arc(edge: &Edge, places: &HashMap<JobId, (usize, usize)>) -> Markup {
    let (Some(from), Some(to)) = (places.get(&edge.parent), places.get(&edge.job)) else { return html! {} };
    let ((x1, y1), (x2, y2)) = (corner(*from), corner(*to));
    let (x1, y1, y2) = (x1 + BOX_WIDTH, y1 + BOX_HEIGHT / 2, y2 + BOX_HEIGHT / 2);
    let bend = GAP_X / 2;
    html! { path d=(format!("M{x1} {y1} C{} {y1} {} {y2} {x2} {y2}", x1 + bend, x2 - bend)) {} }
}

fn drawn(node: &Node<'_>, place: (usize, usize)) -> Markup {
    let (x, y) = corner(place);
    let job = node.job;
    let class = format!("node {}{}", job.state.name(), if node.is_outside { " outside" } else { "" });
    html! {
        a href={ "/jobs/" (job.id) } {
            g class=(class) {
                title { "#" (job.id) " " (job.name) ": " (standing_words(job)) }
                rect x=(x) y=(y) width=(BOX_WIDTH) height=(BOX_HEIGHT) rx="5" {}
                text x=(x + 8) y=(y + 17) { (sign(job.state)) " " (shortened(&job.name)) }
                text.note x=(x + 8) y=(y + 33) { "#" (job.id) " " (job.state.name()) @if job.held { ", held" } @if job.epochs_total > 0 { " " (job.epochs_done) "/" (job.epochs_total) } }
            }
        }
    }
}

fn shortened(name: &str) -> String {
    match name.char_indices().nth(NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// From left to right, each from top to bottom.
fn layers(ids: &[JobId], edges: &[Edge]) -> Vec<Vec<JobId>> {
    let mut depth: HashMap<JobId, usize> = HashMap::new();
    // A parent's id is always less than its job's, so that one pass in order sees every parent before.
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    for id in sorted {
        let parents = edges.iter().filter(|edge| edge.job == id);
        let below = parents.filter_map(|edge| depth.get(&edge.parent)).max().map_or(0, |deepest| deepest + 1);
        depth.insert(id, below);
    }
    let mut layers = vec![Vec::new(); depth.values().max().map_or(0, |deepest| deepest + 1)];
    ids.iter().for_each(|id| layers[depth[id]].push(*id));
    for pass in 0..PASSES {
        reorder(&mut layers, edges, if pass % 2 == 0 { Toward::Parents } else { Toward::Children });
    }
    layers
}

#[derive(Clone, Copy)]
enum Toward {
    Parents,
    Children,
}

/// Sorts each layer by the mean place of its jobs' neighbours on one side.
fn reorder(layers: &mut [Vec<JobId>], edges: &[Edge], toward: Toward) {
    for index in 0..layers.len() {
        // A share of the layer's height, so that layers of different sizes are comparable.
        let place: HashMap<JobId, f64> = layers
            .iter()
            .flat_map(|layer| layer.iter().enumerate().map(|(row, id)| (*id, (row as f64 + 0.5) / layer.len() as f64)))
            .collect();
        let mean = |id: &JobId| {
            let neighbours = edges.iter().filter_map(|edge| match toward {
                Toward::Parents => (edge.job == *id).then_some(edge.parent),
                Toward::Children => (edge.parent == *id).then_some(edge.job),
            });
            let places: Vec<f64> = neighbours.filter_map(|neighbour| place.get(&neighbour).copied()).collect();
            if places.is_empty() { place[id] } else { places.iter().sum::<f64>() / places.len() as f64 }
        };
        let means: HashMap<JobId, f64> = layers[index].iter().map(|id| (*id, mean(id))).collect();
        layers[index].sort_by(|one, other| means[one].total_cmp(&means[other]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(job: i64, parent: i64) -> Edge {
        Edge { job: JobId(job), parent: JobId(parent) }
    }

    #[test]
    fn each_job_stands_right_of_all_that_it_needs() {
        let ids: Vec<JobId> = (1..=5).map(JobId).collect();
        // 3 needs 2 needs 1, and 4 needs 1 and 3; 5 needs nothing.
        let edges = [edge(2, 1), edge(3, 2), edge(4, 1), edge(4, 3)];
        let layers = layers(&ids, &edges);
        let column = |id: i64| layers.iter().position(|layer| layer.contains(&JobId(id))).unwrap();
        assert_eq!([1, 2, 3, 4, 5].map(column), [0, 1, 2, 3, 0]);
    }

    #[test]
    fn students_stand_beside_their_teachers() {
        let ids: Vec<JobId> = (1..=4).map(JobId).collect();
        let layers = layers(&ids, &[edge(3, 2), edge(4, 1)]);
        assert_eq!(layers, [[JobId(1), JobId(2)], [JobId(4), JobId(3)]]);
    }
}
