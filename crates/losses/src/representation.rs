//! How far a student's representation is from its teacher's: the two losses of Robust Representation Matching.

use candle_core::{Result, Tensor, bail};

use crate::rows::{RowLoss, apply, constant};

/// Cosine similarity of every image's two representations: (N), 1 where they point the same way.
///
/// Both are (N, D). Each norm counts as at least `epsilon`, the rule of PyTorch ≥ 1.12 (1.7 clamps the product of the
/// squared norms instead, which differs only where a norm is below `epsilon`). As there, the clamp does not stop the
/// norm's own gradient, and a zero vector has a norm of gradient 0. Differentiable in the student; the teacher is a
/// constant. RRM minimises the negative mean.
///
/// # Errors
/// When the shapes differ, the teacher is tracked, or the student is neither f32 nor f64.
pub fn cosine(student: &Tensor, teacher: &Tensor, epsilon: f64) -> Result<Tensor> {
    let mut directions = teacher_rows(student, teacher)?;
    for row in directions.chunks_exact_mut(student.dim(1)?) {
        let length = norm(row).max(epsilon);
        row.iter_mut().for_each(|t| *t /= length);
    }
    apply(student, Cosine { directions, epsilon })
}

struct Cosine {
    /// The teacher's rows divided by their clamped norms.
    directions: Vec<f64>,
    epsilon: f64,
}

impl Cosine {
    fn direction(&self, row: usize, width: usize) -> &[f64] {
        &self.directions[row * width..][..width]
    }
}

impl RowLoss for Cosine {
    const NAME: &'static str = "cosine similarity";

    fn value(&self, row: usize, student: &[f64]) -> f64 {
        dot(student, self.direction(row, student.len())) / norm(student).max(self.epsilon)
    }

    fn derivative(&self, row: usize, student: &[f64], out: &mut [f64]) {
        let direction = self.direction(row, student.len());
        let length = norm(student);
        let clamped = length.max(self.epsilon);
        let shrink = if length > 0.0 { dot(student, direction) / (clamped * clamped * length) } else { 0.0 };
        for ((out, s), t) in out.iter_mut().zip(student).zip(direction) {
            *out = t / clamped - shrink * s;
        }
    }
}

/// Relative distance ‖student − teacher‖₂ / ‖teacher‖₂ of every image (not squared): (N).
///
/// Both are (N, D). The gradient at student = teacher, where the distance has none, is 0 as PyTorch's. A zero teacher
/// is infinitely far away, and pulls nowhere: its gradient is 0 too, where PyTorch's would be NaN and destroy every
/// weight of the student. Differentiable in the student; the teacher is a constant.
///
/// # Errors
/// When the shapes differ, the teacher is tracked, or the student is neither f32 nor f64.
pub fn relative_l2(student: &Tensor, teacher: &Tensor) -> Result<Tensor> {
    apply(student, RelativeL2 { teacher: teacher_rows(student, teacher)? })
}

struct RelativeL2 {
    teacher: Vec<f64>,
}

impl RelativeL2 {
    fn teacher(&self, row: usize, width: usize) -> &[f64] {
        &self.teacher[row * width..][..width]
    }
}

impl RowLoss for RelativeL2 {
    const NAME: &'static str = "relative l2";

    fn value(&self, row: usize, student: &[f64]) -> f64 {
        let teacher = self.teacher(row, student.len());
        distance(student, teacher) / norm(teacher)
    }

    fn derivative(&self, row: usize, student: &[f64], out: &mut [f64]) {
        let teacher = self.teacher(row, student.len());
        let denominator = distance(student, teacher) * norm(teacher);
        if denominator > 0.0 {
            let differences = student.iter().zip(teacher).map(|(s, t)| s - t);
            out.iter_mut().zip(differences).for_each(|(out, difference)| *out = difference / denominator);
        }
    }
}

/// Distance ‖student − teacher‖₂ of every image (neither squared nor divided): (N), which robust-dataset synthesis descends, and RRM where it is asked to.
///
/// Both are (N, D). The gradient at student = teacher, where the distance has none, is 0 as PyTorch's. Differentiable in the
/// student; the teacher is a constant.
///
/// # Errors
/// When the shapes differ, the teacher is tracked, or the student is neither f32 nor f64.
pub fn l2_distance(student: &Tensor, teacher: &Tensor) -> Result<Tensor> {
    apply(student, L2Distance { teacher: teacher_rows(student, teacher)? })
}

struct L2Distance {
    teacher: Vec<f64>,
}

impl L2Distance {
    fn teacher(&self, row: usize, width: usize) -> &[f64] {
        &self.teacher[row * width..][..width]
    }
}

impl RowLoss for L2Distance {
    const NAME: &'static str = "l2 distance";

    fn value(&self, row: usize, student: &[f64]) -> f64 {
        distance(student, self.teacher(row, student.len()))
    }

    fn derivative(&self, row: usize, student: &[f64], out: &mut [f64]) {
        let teacher = self.teacher(row, student.len());
        let length = distance(student, teacher);
        if length > 0.0 {
            out.iter_mut().zip(student.iter().zip(teacher)).for_each(|(out, (s, t))| *out = (s - t) / length);
        }
    }
}

fn teacher_rows(student: &Tensor, teacher: &Tensor) -> Result<Vec<f64>> {
    if student.dims() != teacher.dims() {
        bail!("representations of student {:?} and teacher {:?} differ in shape", student.shape(), teacher.shape());
    }
    constant("the teacher's representation", teacher)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rows::check::{assert_close, assert_gradient, losses_and_gradient, rows};

    const EPSILON: f64 = 1e-6;

    #[test]
    fn cosine_of_equal_opposite_and_orthogonal_vectors_is_one_minus_one_and_zero() {
        let teacher = rows([[3.0, 4.0], [3.0, 4.0], [3.0, 4.0]]);
        let student = rows([[3.0, 4.0], [-6.0, -8.0], [4.0, -3.0]]);
        let (similarities, gradient) = losses_and_gradient(&student, |s| cosine(s, &teacher, EPSILON));
        assert_close(&similarities, &[1.0, -1.0, 0.0]);
        assert_close(&gradient[0], &[0.0, 0.0]);
        assert_close(&gradient[2], &[0.6 / 5.0, 0.8 / 5.0]);
    }

    #[test]
    fn cosine_of_a_zero_student_pulls_along_the_teacher_with_the_clamped_length() {
        let (similarities, gradient) =
            losses_and_gradient(&rows([[0.0, 0.0]]), |s| cosine(s, &rows([[3.0, 4.0]]), EPSILON));
        assert_close(&similarities, &[0.0]);
        assert_close(&gradient[0], &[0.6 / EPSILON, 0.8 / EPSILON]);
    }

    #[test]
    fn cosine_of_a_zero_teacher_is_zero_and_pulls_nowhere() {
        let (similarities, gradient) =
            losses_and_gradient(&rows([[1.0, 2.0]]), |s| cosine(s, &rows([[0.0, 0.0]]), EPSILON));
        assert_eq!((similarities, gradient), (vec![0.0], vec![vec![0.0, 0.0]]));
    }

    #[test]
    fn relative_l2_of_a_zero_student_is_one() {
        let (losses, gradient) = losses_and_gradient(&rows([[0.0, 0.0]]), |s| relative_l2(s, &rows([[3.0, 4.0]])));
        assert_close(&losses, &[1.0]);
        assert_close(&gradient[0], &[-0.6 / 5.0, -0.8 / 5.0]);
    }

    #[test]
    fn relative_l2_of_equal_representations_is_zero_with_gradient_zero() {
        let teacher = rows([[3.0, 4.0]]);
        let (losses, gradient) = losses_and_gradient(&teacher, |s| relative_l2(s, &teacher));
        assert_eq!((losses, gradient), (vec![0.0], vec![vec![0.0, 0.0]]));
        let (losses, gradient) = losses_and_gradient(&teacher, |s| l2_distance(s, &teacher));
        assert_eq!((losses, gradient), (vec![0.0], vec![vec![0.0, 0.0]]));
    }

    #[test]
    fn l2_distance_is_not_divided_by_anything() {
        let teacher = rows([[3.0, 4.0], [0.0, 0.0]]);
        let (losses, gradient) = losses_and_gradient(&rows([[0.0, 0.0], [3.0, 4.0]]), |s| l2_distance(s, &teacher));
        assert_close(&losses, &[5.0, 5.0]);
        assert_close(&gradient[0], &[-0.6, -0.8]);
        assert_close(&gradient[1], &[0.6, 0.8]);
    }

    #[test]
    fn relative_l2_of_a_zero_teacher_is_infinite_with_gradient_zero() {
        let (losses, gradient) = losses_and_gradient(&rows([[1.0, 0.0]]), |s| relative_l2(s, &rows([[0.0, 0.0]])));
        assert_eq!((losses, gradient), (vec![f64::INFINITY], vec![vec![0.0, 0.0]]));
    }

    #[test]
    fn representations_of_different_widths_are_refused() {
        let (student, teacher) = (rows([[1.0, 2.0]]), rows([[1.0, 2.0, 3.0]]));
        assert!(cosine(&student, &teacher, EPSILON).is_err());
        assert!(relative_l2(&student, &teacher).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn all_matches_have_the_gradients_of_their_values(
            student in prop::array::uniform2(prop::array::uniform5(0.1f64..2.0)),
            teacher in prop::array::uniform2(prop::array::uniform5(-2.0f64..-0.1)),
        ) {
            let teacher = rows(teacher);
            assert_gradient(&rows(student), |s| cosine(s, &teacher, EPSILON));
            assert_gradient(&rows(student), |s| relative_l2(s, &teacher));
            assert_gradient(&rows(student), |s| l2_distance(s, &teacher));
        }
    }
}
