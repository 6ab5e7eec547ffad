//! The nearest point of a plane within the box (Croce & Hein 2020, Eq. 6 and Appendix A), in l∞, l2 and l1.
//!
//! Every pixel has a headroom: the way to the end of the box that leads towards the plane. The three norms differ in what
//! is spent first; all of them then search for the pixel at which the plane is reached.

use rrm_spec::Norm;

/// Weights below this size count as none in l2 and l1, as in the reference.
const LEAST_WEIGHT: f64 = 1e-8;

/// All points t with w·t = b.
#[derive(Clone, Copy, Debug)]
pub struct Hyperplane<'a> {
    /// w, one number per pixel.
    pub weights: &'a [f64],
    /// b.
    pub offset: f64,
}

/// The least change, in the norm, that brings `point` of the box onto the plane without leaving the box; where the plane misses the
/// box, the change to the corner that is nearest to the plane.
///
/// # Panics
/// When the plane has another number of weights than the point has pixels.
pub fn project_to_hyperplane(norm: Norm, point: &[f64], plane: Hyperplane<'_>) -> Vec<f64> {
    assert_eq!(point.len(), plane.weights.len(), "a weight for each pixel");
    let ahead: f64 = point.iter().zip(plane.weights).map(|(t, w)| t * w).sum::<f64>() - plane.offset;
    let side = if ahead >= 0.0 { 1.0 } else { -1.0 };
    let ways: Vec<Way> = point.iter().zip(plane.weights).map(|(&t, &w)| Way::of(norm, t, w * side)).collect();
    let sizes = match norm {
        Norm::Linf => level(&ways, ahead.abs(), |way| way.headroom, |way| way.weight),
        Norm::L2 => level(&ways, ahead.abs(), |way| way.headroom / way.weight, |way| way.weight * way.weight),
        Norm::L1 => greedy(&ways, ahead.abs()),
    };
    // A level says how far all pixels go at once: by it, or by it times their weight.
    ways.iter()
        .zip(sizes)
        .map(|(way, size)| {
            way.direction * if norm == Norm::L2 { way.capped(size * way.weight) } else { way.capped(size) }
        })
        .collect()
}

/// A pixel's way towards the plane.
#[derive(Clone, Copy)]
struct Way {
    /// Size of the pixel's weight; 0 where it counts as none.
    weight: f64,
    /// 1 for up, -1 for down, 0 for a pixel that stays.
    direction: f64,
    /// How far the box lets it go.
    headroom: f64,
}

impl Way {
    /// That of a pixel at `t`, which is to lower w·t.
    fn of(norm: Norm, t: f64, w: f64) -> Self {
        let least = if norm == Norm::Linf { 0.0 } else { LEAST_WEIGHT };
        if w.abs() <= least || w.is_nan() {
            return Self { weight: 0.0, direction: 0.0, headroom: 0.0 };
        }
        let (direction, headroom) = if w < 0.0 { (1.0, 1.0 - t) } else { (-1.0, t) };
        Self { weight: w.abs(), direction, headroom }
    }

    fn capped(&self, way: f64) -> f64 {
        way.min(self.headroom)
    }
}

/// The level λ at which Σ gain_i · min(λ, end_i) reaches `ahead`, for every pixel; infinite where it never does.
fn level(ways: &[Way], ahead: f64, end: impl Fn(&Way) -> f64, gain: impl Fn(&Way) -> f64) -> Vec<f64> {
    let mut moving: Vec<(f64, f64)> =
        ways.iter().filter(|way| way.weight > 0.0).map(|way| (end(way), gain(way))).collect();
    moving.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    // Gains of the pixels that still move; summed from the last, as what is left of a difference would be rounding.
    let mut still: Vec<f64> = vec![0.0; moving.len() + 1];
    for place in (0..moving.len()).rev() {
        still[place] = still[place + 1] + moving[place].1;
    }
    let (mut reached, mut from) = (0.0, 0.0);
    for (place, &(end, _)) in moving.iter().enumerate() {
        let more = still[place] * (end - from);
        if reached + more >= ahead {
            return vec![from + (ahead - reached) / still[place]; ways.len()];
        }
        (reached, from) = (reached + more, end);
    }
    vec![f64::INFINITY; ways.len()]
}

/// Pixels of the largest weights go all their way, one after another, until the last one needs a part of its own only.
fn greedy(ways: &[Way], mut ahead: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..ways.len()).filter(|&pixel| ways[pixel].weight > 0.0).collect();
    order.sort_unstable_by(|&a, &b| ways[b].weight.total_cmp(&ways[a].weight));
    let mut sizes = vec![0.0; ways.len()];
    for pixel in order {
        let Way { weight, headroom, .. } = ways[pixel];
        if weight * headroom >= ahead {
            sizes[pixel] = ahead / weight;
            break;
        }
        sizes[pixel] = headroom;
        ahead -= weight * headroom;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ball::extent;

    fn residual(point: &[f64], change: &[f64], plane: Hyperplane<'_>) -> f64 {
        point.iter().zip(change).zip(plane.weights).map(|((t, d), w)| (t + d) * w).sum::<f64>() - plane.offset
    }

    #[test]
    fn norms_spend_different_pixels() {
        let (point, plane) = ([0.5, 0.5], Hyperplane { weights: &[2.0, -1.0], offset: 0.0 });
        let close = |norm, expected: [f64; 2]| {
            let found = project_to_hyperplane(norm, &point, plane);
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{norm}: {found:?}");
        };
        close(Norm::Linf, [-0.5 / 3.0, 0.5 / 3.0]);
        close(Norm::L2, [-0.2, 0.1]);
        close(Norm::L1, [-0.25, 0.0]);
    }

    #[test]
    fn a_plane_that_misses_the_box_is_gone_for_to_the_corner() {
        for norm in [Norm::Linf, Norm::L2, Norm::L1] {
            let plane = Hyperplane { weights: &[2.0, -1.0, 0.0], offset: -7.0 };
            assert_eq!(project_to_hyperplane(norm, &[0.5, 0.25, 0.5], plane), [-0.5, 0.75, 0.0], "{norm}");
        }
    }

    proptest! {
        #[test]
        fn no_other_point_of_plane_and_box_is_nearer(
            pixels in proptest::collection::vec((0.0..=1.0f64, -2.0..2.0f64, 0.0..=1.0f64), 1..9),
        ) {
            let point: Vec<f64> = pixels.iter().map(|p| p.0).collect();
            let weights: Vec<f64> = pixels.iter().map(|p| if p.1.abs() < 0.1 { 0.0 } else { p.1 }).collect();
            // The plane goes through another point of the box.
            let other: Vec<f64> = pixels.iter().map(|p| p.2).collect();
            let plane = Hyperplane { weights: &weights, offset: other.iter().zip(&weights).map(|(z, w)| z * w).sum() };
            for norm in [Norm::Linf, Norm::L2, Norm::L1] {
                let change = project_to_hyperplane(norm, &point, plane);
                prop_assert!(residual(&point, &change, plane).abs() < 1e-9, "{norm}");
                prop_assert!(point.iter().zip(&change).all(|(t, d)| (-1e-12..=1.0 + 1e-12).contains(&(t + d))));
                let elsewhere: Vec<f64> = other.iter().zip(&point).map(|(z, t)| z - t).collect();
                prop_assert!(extent(norm, &change) <= extent(norm, &elsewhere) + 1e-9, "{norm}");
            }
        }
    }
}
