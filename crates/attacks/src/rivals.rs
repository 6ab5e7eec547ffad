//! The classes that an image may be led to.

/// The other classes of each image by its natural logits, the highest first, of equal ones the class of the lower number.
pub(crate) fn rivals(logits: &[Vec<f64>], labels: &[u32]) -> Vec<Vec<u32>> {
    logits.iter().zip(labels).map(|(logits, &label)| rivals_of(logits, label)).collect()
}

fn rivals_of(logits: &[f64], label: u32) -> Vec<u32> {
    let mut classes: Vec<u32> = (0..logits.len() as u32).filter(|&class| class != label).collect();
    classes.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]));
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rivals_are_all_classes_but_the_label_by_their_logits() {
        let logits = [vec![0.5, 3.0, -1.0, 2.0], vec![1.0, 1.0, 2.0, 1.0]];
        assert_eq!(rivals(&logits, &[1, 0]), [[3, 0, 2], [2, 1, 3]]);
    }
}
