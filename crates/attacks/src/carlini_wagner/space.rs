//! The space in which the search takes place: all of it maps into the box.

/// Keeps pixels at the ends of the box from infinity.
const SHRINKAGE: f64 = 0.999999;

/// The point of a pixel.
pub(super) fn of_pixel(pixel: f64) -> f64 {
    ((pixel - 0.5) / 0.5 * SHRINKAGE).atanh()
}

/// The pixel of a point, and its derivative.
pub(super) fn to_pixel(point: f64) -> (f64, f64) {
    let tangent = point.tanh();
    (tangent * 0.5 + 0.5, 0.5 * (1.0 - tangent * tangent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_come_back_but_for_the_shrinkage() {
        for pixel in [0.0, 0.1, 0.5, 0.9, 1.0] {
            let (back, slope) = to_pixel(of_pixel(pixel));
            assert!((back - pixel).abs() < 1e-6 && (0.0..=1.0).contains(&back), "{pixel}: {back}");
            let numeric = (to_pixel(of_pixel(pixel) + 1e-6).0 - to_pixel(of_pixel(pixel) - 1e-6).0) / 2e-6;
            assert!((slope - numeric).abs() < 1e-9, "{pixel}: {slope} is not {numeric}");
        }
    }
}
