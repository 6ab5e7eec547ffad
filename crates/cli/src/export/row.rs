//! One image of one evaluation, as a row.

use rrm_spec::{AttackSpec, ClosestPoint, ImageOutcome, JobDetail, Outcome};
use serde::Serialize;

/// What a row says, in the order of the columns.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Row<'a> {
    /// The evaluation job.
    job: i64,
    name: &'a str,
    /// What it evaluates, as its spec names it.
    model: &'a str,
    attack: &'a str,
    norm: &'a str,
    epsilon: &'a str,
    image: u32,
    label: u32,
    prediction: u32,
    outcome: &'static str,
    restart: Option<u32>,
    part: Option<u32>,
    part_attack: Option<&'a str>,
    iteration: Option<u32>,
    loss: Option<f64>,
    margin: Option<f64>,
}

/// The columns' names.
pub(super) const HEADER: &str = "job,name,model,attack,norm,epsilon,image,label,prediction,outcome,restart,part,part_attack,\
    iteration,loss,margin";

/// What all rows of one evaluation have in common.
pub(super) struct Heading {
    job: i64,
    name: String,
    model: String,
    attack: String,
    norm: String,
    epsilon: String,
    parts: Vec<String>,
}

impl Heading {
    pub(super) fn new(job: &JobDetail, model: String, attack: &AttackSpec) -> Self {
        let threat = attack.threat();
        Self {
            job: job.summary.id.0,
            name: job.summary.name.clone(),
            model,
            attack: attack.label(),
            norm: threat.norm.to_string(),
            epsilon: threat.epsilon.to_string(),
            parts: attack.parts().iter().map(AttackSpec::label).collect(),
        }
    }

    pub(super) fn row(&self, of: &ImageOutcome) -> Row<'_> {
        let ImageOutcome { image, label, prediction, outcome, closest } = *of;
        let (outcome, restart) = match outcome {
            Outcome::Misclassified => ("misclassified", None),
            Outcome::Broken { restart } => ("broken", Some(restart)),
            Outcome::Robust => ("robust", None),
        };
        let part = closest.map(|ClosestPoint { part, .. }| part);
        Row {
            job: self.job,
            name: &self.name,
            model: &self.model,
            attack: &self.attack,
            norm: &self.norm,
            epsilon: &self.epsilon,
            image,
            label,
            prediction,
            outcome,
            restart,
            part,
            part_attack: part.and_then(|part| self.parts.get(part as usize)).map(String::as_str),
            iteration: closest.and_then(|closest| closest.iteration),
            loss: closest.map(|closest| closest.loss),
            margin: closest.map(|closest| closest.margin),
        }
    }
}

impl Row<'_> {
    /// A line of comma-separated values (RFC 4180), without its end; what is absent is empty.
    pub(super) fn csv(&self) -> String {
        let Self { job, name, model, attack, norm, epsilon, image, label, prediction, outcome, .. } = self;
        let words = [name, model, attack, norm, epsilon].map(|word| quoted(word)).join(",");
        let absent = |number: Option<u32>| number.map_or_else(String::new, |number| number.to_string());
        let number = |number: Option<f64>| number.map_or_else(String::new, |number| number.to_string());
        let (restart, part, iteration) = (absent(self.restart), absent(self.part), absent(self.iteration));
        let part_attack = self.part_attack.map_or_else(String::new, quoted);
        let (loss, margin) = (number(self.loss), number(self.margin));
        format!(
            "{job},{words},{image},{label},{prediction},{outcome},{restart},{part},{part_attack},{iteration},{loss},{margin}"
        )
    }

    /// A line of JSON, without its end.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).expect("a row has texts and numbers only")
    }
}

fn quoted(word: &str) -> String {
    match word.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", word.replace('"', "\"\"")),
        false => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heading() -> Heading {
        Heading {
            job: 3,
            name: "attack[a,b]".into(),
            model: "#2".into(),
            attack: "AutoAttack".into(),
            norm: "linf".into(),
            epsilon: "8/255".into(),
            parts: vec!["APGD-CE 100x1".into(), "APGD-T 100x1".into()],
        }
    }

    #[test]
    fn a_line_has_a_value_for_every_column_and_names_the_part_that_broke_the_image() {
        let closest = Some(ClosestPoint { part: 1, iteration: Some(12), loss: 3.5, margin: -0.25 });
        let broken =
            ImageOutcome { image: 7, label: 1, prediction: 1, outcome: Outcome::Broken { restart: 4 }, closest };
        let line = heading().row(&broken).csv();
        let expected = "3,\"attack[a,b]\",#2,AutoAttack,linf,8/255,7,1,1,broken,4,1,APGD-T 100x1,12,3.5,-0.25";
        assert_eq!(line, expected);
        let wrong = ImageOutcome { outcome: Outcome::Misclassified, closest: None, prediction: 0, ..broken };
        let line = heading().row(&wrong).csv();
        assert_eq!(line, "3,\"attack[a,b]\",#2,AutoAttack,linf,8/255,7,1,0,misclassified,,,,,,");
        assert_eq!(HEADER.split(',').count(), 16);
    }

    #[test]
    fn json_has_the_columns_names() {
        let robust = ImageOutcome { image: 0, label: 0, prediction: 0, outcome: Outcome::Robust, closest: None };
        let value: serde_json::Value = serde_json::from_str(&heading().row(&robust).json()).unwrap();
        for column in HEADER.split(',') {
            assert!(value.get(column).is_some(), "{column}");
        }
        assert_eq!(value.as_object().unwrap().len(), HEADER.split(',').count());
    }
}
