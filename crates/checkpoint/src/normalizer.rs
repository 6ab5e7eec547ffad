//! How a checkpoint's network normalises pixels.

use rrm_spec::Normalization;

use crate::{CheckpointError, Finding};

/// Constants are written with four digits, and stored as f32 or f16, whose numbers from 1/2 to 1 are 2⁻¹¹ apart.
const TOLERANCE: f64 = 2.5e-4;

/// A file's own constants, per channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Constants {
    pub(crate) mean: Vec<f64>,
    pub(crate) std: Vec<f64>,
}

impl Constants {
    /// Whether these are the constants of `normalization`, for so many channels.
    fn are(&self, normalization: Normalization, channels: usize) -> bool {
        let same = |found: &[f64], expected: &[f64]| {
            // A lone number holds for every channel, on either side.
            let at = |numbers: &[f64], channel: usize| *numbers.get(channel).unwrap_or(&numbers[0]);
            let whole = found.len() == 1 || found.len() == channels;
            whole && (0..channels).all(|channel| (at(found, channel) - at(expected, channel)).abs() < TOLERANCE)
        };
        let (mean, std) = normalization.constants();
        normalization.suits(channels) && same(&self.mean, mean) && same(&self.std, std)
    }
}

/// The normalisation to use, and what is to be said about it.
///
/// # Errors
/// [`CheckpointError::NoNormalization`], where neither the file nor the caller tells it.
pub(crate) fn choose(
    file: Option<&Constants>,
    told: Option<Normalization>,
    channels: usize,
) -> Result<(Normalization, Finding), CheckpointError> {
    let known = |constants: &Constants| Normalization::ALL.into_iter().find(|known| constants.are(*known, channels));
    match (file, told) {
        (None, Some(told)) => Ok((told, Finding::NormalizationTold(told))),
        (None, None) => Err(CheckpointError::NoNormalization { why: "the file does not say it".to_owned() }),
        (Some(constants), Some(told)) if constants.are(told, channels) => Ok((told, Finding::NormalizationFound(told))),
        (Some(constants), Some(used)) => {
            let Constants { mean, std } = constants.clone();
            Ok((used, Finding::NormalizationDiffers { used, mean, std, found: known(constants) }))
        }
        (Some(constants), None) => match known(constants) {
            Some(found) => Ok((found, Finding::NormalizationFound(found))),
            None => {
                let Constants { mean, std } = constants;
                let why = format!(
                    "the file's constants, mean {mean:.4?} and deviation {std:.4?}, are none of the known ones"
                );
                Err(CheckpointError::NoNormalization { why })
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constants(mean: &[f64], std: &[f64]) -> Constants {
        Constants { mean: mean.to_vec(), std: std.to_vec() }
    }

    #[test]
    fn the_files_constants_are_recognised_after_rounding() {
        for normalization in Normalization::ALL.into_iter().filter(|normalization| normalization.suits(3)) {
            let (mean, std) = normalization.constants();
            let rounded =
                |numbers: &[f64]| numbers.iter().map(|&n| half::f16::from_f64(n).to_f64()).collect::<Vec<_>>();
            let file = constants(&rounded(mean), &rounded(std));
            let (used, finding) = choose(Some(&file), None, 3).unwrap();
            assert_eq!((used, finding), (normalization, Finding::NormalizationFound(normalization)));
        }
    }

    #[test]
    fn a_contradiction_is_told_and_the_callers_word_counts() {
        let (mean, std) = Normalization::Cifar10Madry.constants();
        let (used, finding) = choose(Some(&constants(mean, std)), Some(Normalization::Cifar10Fast), 3).unwrap();
        assert_eq!(used, Normalization::Cifar10Fast);
        let told = finding.to_string();
        assert!(told.contains("0.2023 0.1994 0.2010 (cifar10-madry)"), "{told}");
        assert_eq!(finding.weight(), crate::Weight::Warning);
    }

    #[test]
    fn without_a_word_on_either_side_nothing_is_assumed() {
        assert!(choose(None, None, 3).is_err());
        let error = choose(Some(&constants(&[0.5; 3], &[0.5; 3])), None, 3).unwrap_err().to_string();
        assert!(error.contains("none of the known ones"), "{error}");
        assert!(choose(Some(&constants(&[], &[])), None, 3).is_err());
    }
}
