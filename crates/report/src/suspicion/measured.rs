//! Checks of what an evaluation has measured besides: see `docs/diagnostics.md` for the numbers' names.

use rrm_spec::DiagnosticsRecord;

use super::{Check, Finding, Judged, share};

/// What has to be done for any of these numbers.
const ASK: &str = "not measured: add `diagnostics = 200` to an evaluation of this network";

/// Judges one record; `None` where it lacks the numbers.
type Judge = fn(&DiagnosticsRecord) -> Option<Judged>;

const CHECKS: [(Check, Judge); 10] = [
    (
        Check {
            name: "gradients",
            why: "Where the gradient of the cross-entropy is zero, or lost in rounding, an attack by gradient stands still: what it \
                  leaves unbroken is not robust.",
            advice: "Attack with logits divided by a large number or by DLR, and without gradients (Square).",
            source: "Athalye et al. 2018, vanishing gradients; RobustBench (Croce et al. 2021) takes no network without gradients",
            needs: ASK,
        },
        gradients,
    ),
    (
        Check {
            name: "logit-scale",
            why: "A factor on the logits changes no class. Where the same attack breaks many more images by it, the cross-entropy was \
                  saturated, and robust accuracies by it are too high.",
            advice: "Report the lowest rung of the ladder, or attack by DLR, which no factor changes.",
            source: "Carlini & Wagner 2017 on distilled networks; the paper's evaluation at t = 30; Croce & Hein 2020",
            needs: ASK,
        },
        logit_scale,
    ),
    (
        Check {
            name: "dlr-against-ce",
            why: "DLR does not depend on the logits' scale. Where it breaks many more images than the cross-entropy, the latter's \
                  gradients are spoilt.",
            advice: "Evaluate by AutoAttack, which has both losses.",
            source: "Croce & Hein 2020 on the cross-entropy and the logits' scale",
            needs: "not measured: add `diagnostics = 200` to an evaluation of this network, which needs three classes",
        },
        dlr_against_ce,
    ),
    (
        Check {
            name: "black-box",
            why: "Whoever sees gradients knows more than whoever sees logits alone. Images that only a black-box attack breaks say that \
                  the gradients mislead.",
            advice: "Evaluate by AutoAttack with Square in it, and look for what hides the gradients.",
            source: "Athalye et al. 2018, §3.1; Carlini et al. 2019, gradient-free attacks; AutoAttack warns at 0.2 points",
            needs: "not measured: add `diagnostics = 200` to an evaluation of this network in l∞ or l2",
        },
        black_box,
    ),
    (
        Check {
            name: "radii",
            why: "A larger ball holds the smaller one: where an attack breaks fewer images in it, the attack fails and not the images.",
            advice: "Use more iterations, or steps that suit the radius.",
            source: "Carlini et al. 2019, accuracy against perturbation budget",
            needs: ASK,
        },
        radii,
    ),
    (
        Check {
            name: "whole-box",
            why: "In a ball that reaches the grey image from anywhere nothing can be told from anything: an attack that does not break all \
                  images there cannot find what must be there.",
            advice: "Mend the attack before any of its numbers is believed.",
            source: "Athalye et al. 2018, unbounded attacks; Carlini et al. 2019: accuracy must reach 0",
            needs: ASK,
        },
        whole_box,
    ),
    (
        Check {
            name: "restarts",
            why: "Where the last restart still breaks images that the ones before left, further ones would, too.",
            advice: "Use more restarts or more iterations, until a further one changes nothing.",
            source: "Carlini et al. 2019, random restarts and convergence",
            needs: ASK,
        },
        restarts,
    ),
    (
        Check {
            name: "train-mode",
            why: "Where classes depend on whether batch-norm uses its running statistics or the batch's, those that were kept do not suit \
                  these images, and accuracies hold for one of the two modes alone.",
            advice: "Look at the statistics: a checkpoint that lacks them, or images that are prepared otherwise than in the training.",
            source: "Our own threshold; foolbox asks for eval mode for this reason",
            needs: "not measured: add `diagnostics = 200` to an evaluation of this network, which needs batch-norms",
        },
        train_mode,
    ),
    (
        Check {
            name: "normalization",
            why: "Where other constants of the first layer classify more images correctly, the network was trained with those, and its \
                  robust accuracies are of another network.",
            advice: "Import or train it with the constants that it belongs to (`--normalization`).",
            source: "The paper's own evaluation has two sets of constants; the first cause of nonsense in others' trackers",
            needs: ASK,
        },
        normalization,
    ),
    (
        Check {
            name: "probabilities",
            why: "Attacks take outputs for logits. Those of a softmax are squeezed twice, and their gradients vanish.",
            advice: "Evaluate the network without its last softmax.",
            source: "AutoAttack's checks (Croce & Hein 2020)",
            needs: ASK,
        },
        probabilities,
    ),
];

/// One finding for each check: of several records the most suspicious, and of equals the newest.
pub(super) fn findings(records: &[&DiagnosticsRecord]) -> Vec<Finding> {
    let finding = |(check, judge): &(Check, Judge)| {
        let each = records.iter().map(|record| check.finding(judge(record)));
        each.max_by_key(|finding| finding.level).unwrap_or_else(|| check.finding(None))
    };
    CHECKS.iter().map(finding).collect()
}

/// Above one in a hundred: of a network whose gradients are good there is none.
fn gradients(d: &DiagnosticsRecord) -> Option<Judged> {
    let correct = d.value("natural.correct")?;
    let [zero, denormal, broken] = ["zero", "denormal", "not-finite"].map(|kind| d.value(&format!("gradient.{kind}")));
    let (zero, denormal, broken) = (zero?, denormal?, broken?);
    let found = format!(
        "of {correct} images that are classified correctly {zero} have a gradient of zero, {denormal} one below the smallest normal \
         number, {broken} one that is no number"
    );
    let needed = share(correct, 0.01, 1.0);
    Some(Judged::among(correct, needed, zero + denormal + broken >= needed, found))
}

/// Ten in a hundred of the images that are classified correctly, since no other can be robust, and five images: of networks with good
/// gradients, adversarially trained ones first, another loss breaks a few in a hundred more (Croce & Hein 2020, of APGD-CE and APGD-DLR).
fn by_loss(correct: f64) -> f64 {
    share(correct, 0.1, 5.0)
}

fn logit_scale(d: &DiagnosticsRecord) -> Option<Judged> {
    let (correct, plain) = (d.value("natural.correct")?, d.value("ladder.x1.robust")?);
    let rungs: Vec<(&str, f64)> = d.between("ladder.x", ".robust").collect();
    let (lowest, robust) = rungs.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let ladder: Vec<String> = rungs.iter().map(|(scale, robust)| format!("×{scale} {robust}")).collect();
    let found = format!("robust of {correct} correctly classified images by the logits' factor: {}", ladder.join(", "));
    let is_lower = plain - robust >= by_loss(correct);
    let lowest = if is_lower { format!("; lowest at ×{lowest}") } else { String::new() };
    Some(Judged::among(plain, by_loss(correct), is_lower, found + &lowest))
}

fn dlr_against_ce(d: &DiagnosticsRecord) -> Option<Judged> {
    let correct = d.value("natural.correct")?;
    let (ce, dlr) = (d.value("apgd-ce.robust")?, d.value("apgd-dlr.robust")?);
    let found = format!("robust of {correct} correctly classified images: {ce} by cross-entropy, {dlr} by DLR");
    Some(Judged::among(ce, by_loss(correct), ce - dlr >= by_loss(correct), found))
}

/// Two images and one in two hundred that nothing else breaks (AutoAttack warns at 0.2 points, after attacks by gradient of five times the
/// effort); or three in a hundred, and three images, more than by gradients.
fn black_box(d: &DiagnosticsRecord) -> Option<Judged> {
    let images = d.value("images")?;
    let (only, square, ce) = (d.value("square.only")?, d.value("square.robust")?, d.value("apgd-ce.robust")?);
    let found = format!(
        "robust of {images} images: {ce} by gradient, {square} by Square; {only} are broken by Square and by no gradient"
    );
    Some(Judged::by(only >= share(images, 0.005, 2.0) || ce - square >= share(images, 0.03, 3.0), found))
}

/// The radii from the smallest to the largest, with the images that are robust there.
fn robust_by_radius(d: &DiagnosticsRecord) -> Vec<(f64, f64)> {
    let named = d.between("radius.", ".epsilon");
    let mut radii: Vec<_> =
        named.filter_map(|(name, epsilon)| Some((epsilon, d.value(&format!("radius.{name}.robust"))?))).collect();
    radii.sort_by(|a, b| a.0.total_cmp(&b.0));
    radii
}

/// Two in a hundred, and two images, which searches from random starts may lose.
fn radii(d: &DiagnosticsRecord) -> Option<Judged> {
    let (images, radii) = (d.value("images")?, robust_by_radius(d));
    if radii.len() < 2 {
        return None;
    }
    let rises = radii.windows(2).any(|pair| pair[1].1 - pair[0].1 >= share(images, 0.02, 2.0));
    let told: Vec<String> = radii.iter().map(|(epsilon, robust)| format!("{epsilon:.4}: {robust}")).collect();
    let found = format!("robust of {images} images by {} radius: {}", d.threat.norm, told.join(", "));
    Some(Judged::by(rises, found))
}

/// Two in a hundred, and two images.
fn whole_box(d: &DiagnosticsRecord) -> Option<Judged> {
    let images = d.value("images")?;
    let (epsilon, robust) = (d.value("radius.all.epsilon")?, d.value("radius.all.robust")?);
    let found = format!("{robust} of {images} images are robust at a radius of {epsilon:.4} ({})", d.threat.norm);
    Some(Judged::by(robust >= share(images, 0.02, 2.0), found))
}

/// One in a hundred, and two images.
fn restarts(d: &DiagnosticsRecord) -> Option<Judged> {
    let images = d.value("images")?;
    let broken: Vec<f64> = d.between("restart.", ".broken").map(|(_, broken)| broken).collect();
    let last = *broken.last()?;
    let told: Vec<String> = broken.iter().map(f64::to_string).collect();
    let found = format!("of {images} images the restarts broke, one after another: {}", told.join(", "));
    Some(Judged::by(last >= share(images, 0.01, 2.0), found))
}

/// Ten in a hundred, and five images: batches are small, and their statistics with them.
fn train_mode(d: &DiagnosticsRecord) -> Option<Judged> {
    let images = d.value("images")?;
    let (eval, train) = (d.value("natural.correct")?, d.value("train-mode.correct")?);
    let found = format!("correct of {images} natural images: {eval} by the running statistics, {train} by the batch's");
    Some(Judged::by((eval - train).abs() >= share(images, 0.1, 5.0), found))
}

/// Two in a hundred, and two images.
fn normalization(d: &DiagnosticsRecord) -> Option<Judged> {
    let (images, own) = (d.value("images")?, d.value("natural.correct")?);
    let (other, differs) = (d.number("normalization.other.correct")?, d.number("normalization.differs.is")?);
    let note = if differs.value == 1.0 { format!("; {}", differs.detail) } else { String::new() };
    let found = format!(
        "correct of {images} natural images: {own} with the network's own constants, {} {}{note}",
        other.value, other.detail
    );
    Some(Judged::by(other.value - own >= share(images, 0.02, 2.0), found))
}

fn probabilities(d: &DiagnosticsRecord) -> Option<Judged> {
    let are = d.value("outputs.probabilities.is")? == 1.0;
    let found = if are { "the outputs are probabilities" } else { "the outputs are no probabilities" };
    Some(Judged::by(are, found.to_owned()))
}
