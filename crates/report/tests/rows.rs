//! What the rows say, against numbers computed by hand.

mod common;

use common::{complete, evaluate, job, train, waiting};
use rrm_report::{Comparable, Measurement, Row, Source, Table, table};
use rrm_spec::{Accuracy, JobDetail, JobId, JobSpec, JobState, ModelSource, Precision};

fn row<'a>(table: &'a Table, name: &str) -> &'a Row {
    table.rows.iter().find(|row| row.name == name).unwrap()
}

fn about(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-9 * expected.abs()
}

#[test]
fn every_trained_network_has_one_row_in_the_order_of_ids() {
    let mut jobs = complete();
    jobs.reverse();
    let table = table(&jobs);
    let names: Vec<_> = table.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["teacher", "student", "control", "reference"]);
    assert_eq!((table.plan.as_str(), table.attacks.len()), ("demo", 2));
}

#[test]
fn accuracies_are_those_of_the_evaluations() {
    let table = table(&complete());
    let source = Source::Evaluation(JobId(6));
    let measured =
        |correct| Measurement::Measured { accuracy: Accuracy { correct, total: 10_000 }, source, balanced: None };
    assert_eq!(row(&table, "student").natural, measured(8530));
    assert_eq!(row(&table, "student").robust[0], measured(5210));
}

#[test]
fn a_network_without_evaluation_has_its_last_validations_accuracy_under_the_validations_attack() {
    let table = table(&complete());
    let validated = |correct| Measurement::Measured {
        accuracy: Accuracy { correct, total: 1000 },
        source: Source::Validation,
        balanced: None,
    };
    let reference = row(&table, "reference");
    assert_eq!(reference.natural, validated(700));
    assert_eq!(table.attacks[1].label(), "PGD 10x1");
    assert_eq!(reference.robust, [Measurement::Absent, validated(300)]);
    assert_eq!(row(&table, "student").robust[1], Measurement::Absent, "an evaluation makes the validation redundant");
}

#[test]
fn the_evaluation_on_the_most_images_counts() {
    let mut jobs = complete();
    let mut smaller = job(&mut jobs, "attack student").clone();
    smaller.summary.id = JobId(99);
    smaller.evaluations[0].robust = Accuracy { correct: 9, total: 10 };
    jobs.push(smaller);
    let table = table(&jobs);
    assert_eq!(row(&table, "student").robust[0].accuracy(), Some(Accuracy { correct: 5210, total: 10_000 }));
}

#[test]
fn totals_add_the_epochs_of_the_network_and_of_its_teacher() {
    let table = table(&complete());
    let totals = |name| (row(&table, name).training_us, row(&table, name).training_with_teacher_us);
    assert_eq!(totals("teacher"), (Some(70_000_000), Some(70_000_000)));
    assert_eq!(totals("student"), (Some(100_000_000), Some(170_000_000)));
    assert_eq!(totals("control"), (Some(50_000_000), Some(50_000_000)));
}

#[test]
fn a_teachers_teacher_counts_too() {
    let mut jobs = complete();
    let mut pupil = job(&mut jobs, "student").clone();
    pupil.summary.id = JobId(50);
    pupil.summary.name = "pupil".into();
    *pupil.spec.source_mut().unwrap() = ModelSource::Job("#2".parse().unwrap());
    jobs.push(pupil);
    assert_eq!(row(&table(&jobs), "pupil").training_with_teacher_us, Some(270_000_000));
}

#[test]
fn epoch_time_of_the_teacher_is_the_one_computed_by_hand() {
    // 10, 12, 14, 16, 18 s: mean 14, s² = 10, half-width 2.776·√10/√5 = 3.926 s; without the first: mean 15.
    let table = table(&complete());
    let teacher = row(&table, "teacher");
    let time = teacher.epoch_time.as_ref().unwrap();
    assert_eq!((time.n, time.mean_us), (5, 14e6));
    assert!((time.half_width_us.unwrap() - 3.926e6).abs() < 1e3);
    let without_first = teacher.epoch_time_without_first.as_ref().unwrap();
    assert_eq!((without_first.n, without_first.mean_us), (4, 15e6));
}

#[test]
fn a_timing_reference_counts_as_many_epochs_as_the_teacher_has() {
    let table = table(&complete());
    let speed_up = row(&table, "student").speed_up.as_ref().unwrap();
    // Two epochs of 150 and 130 s: mean 140 s, times the teacher's 5 epochs = 700 s; over 100 s, and over 170 s.
    assert_eq!(speed_up.baseline.scaled_to_epochs, Some(5));
    assert!(about(speed_up.baseline.training_us, 700e6));
    assert!(about(speed_up.without_teacher, 7.0), "{speed_up:?}");
    assert!(about(speed_up.with_teacher.unwrap(), 700.0 / 170.0), "{speed_up:?}");
    assert_eq!(speed_up.baseline.comparable, Comparable::SameMachine);
}

#[test]
fn a_network_without_teacher_is_compared_over_the_longest_adversarial_training() {
    let table = table(&complete());
    let control = row(&table, "control").speed_up.as_ref().unwrap();
    assert!(about(control.without_teacher, 14.0) && about(control.with_teacher.unwrap(), 14.0), "{control:?}");
}

#[test]
fn adversarial_training_is_its_own_baseline_but_a_timing_reference_is_none() {
    let table = table(&complete());
    assert_eq!(row(&table, "teacher").speed_up.as_ref().map(|speed_up| speed_up.without_teacher), Some(1.0));
    assert_eq!(row(&table, "reference").speed_up, None);
}

#[test]
fn without_adversarial_training_of_the_same_network_there_is_no_speed_up() {
    let mut jobs = complete();
    jobs.retain(|job| job.summary.name != "reference");
    assert_eq!(row(&table(&jobs), "student").speed_up, None);
}

/// Has a job trained in bf16.
fn round(jobs: &mut [JobDetail], name: &str) {
    let JobSpec::Train(spec) = &mut job(jobs, name).spec else { panic!("{name} does not train") };
    spec.precision = Precision::Bf16;
}

#[test]
fn a_speed_up_is_of_the_method_and_not_of_the_precision() {
    let mut jobs = complete();
    round(&mut jobs, "student");
    assert_eq!(row(&table(&jobs), "student").speed_up, None, "the reference is in f32");
    round(&mut jobs, "reference");
    let table = table(&jobs);
    assert!(row(&table, "student").speed_up.is_some() && row(&table, "control").speed_up.is_none());
    assert!(table.to_text().contains("resnet18/4 in bf16"), "{}", table.to_text());
}

#[test]
fn times_of_different_machines_are_not_called_comparable() {
    let mut jobs = complete();
    train(&mut jobs, "reference", "node2", &[150, 130]);
    let table = table(&jobs);
    let speed_up = row(&table, "student").speed_up.as_ref().unwrap();
    assert_eq!(speed_up.baseline.comparable, Comparable::OtherMachine);
    assert!(table.to_text().contains("Not like with like"), "{}", table.to_text());
}

#[test]
fn an_unfinished_training_has_no_total_and_no_speed_up() {
    let mut jobs = complete();
    train(&mut jobs, "student", "node1", &[20, 20]);
    let table = table(&jobs);
    let student = row(&table, "student");
    assert_eq!((student.training_us, student.training_with_teacher_us, &student.speed_up), (None, None, &None));
    assert_eq!((student.state, student.epochs_done), (JobState::Running, 2));
    assert_eq!(student.epoch_time.as_ref().unwrap().n, 2);
}

#[test]
fn a_teacher_outside_of_the_given_jobs_leaves_the_inclusive_total_open() {
    let jobs: Vec<JobDetail> = complete().into_iter().filter(|job| job.summary.name != "teacher").collect();
    let table = table(&jobs);
    let student = row(&table, "student");
    assert_eq!((student.training_us, student.training_with_teacher_us), (Some(100_000_000), None));
    // Its evaluation is still reported, as one of a network from elsewhere.
    assert!(table.remarks.iter().any(|remark| remark.contains("trained elsewhere")), "{:?}", table.remarks);
}

#[test]
fn an_evaluation_at_another_temperature_is_remarked_upon_and_one_at_the_networks_own_is_a_number_like_any_other() {
    let at = |temperature: f64| {
        let mut jobs = complete();
        let JobSpec::Evaluate(spec) = &mut job(&mut jobs, "attack student").spec else { panic!("no evaluation") };
        spec.temperature = Some(temperature);
        let table = table(&jobs);
        (row(&table, "student").robust.clone(), table.remarks)
    };
    let expected = table(&complete());
    assert_eq!(at(1.0), (row(&expected, "student").robust.clone(), expected.remarks));
    let (robust, remarks) = at(30.0);
    let evaluated = |it: &Measurement| matches!(it, Measurement::Measured { source: Source::Evaluation(_), .. });
    assert!(!robust.iter().any(evaluated), "{robust:?}");
    let remark =
        "attack student evaluates student at temperature 30: natural 85.30 %, APGD-CE 20x5 52.10 % (5210/10000).";
    assert!(remarks.iter().any(|told| told == remark), "{remarks:?}");
}

#[test]
fn evaluations_that_have_not_succeeded_show_their_state_and_no_number() {
    let mut jobs = waiting();
    train(&mut jobs, "teacher", "node1", &[10, 12, 14, 16, 18]);
    job(&mut jobs, "attack teacher").summary.state = JobState::Failed;
    job(&mut jobs, "attack teacher").summary.reason = Some("no\nmemory".into());
    let table = table(&jobs);
    let teacher = row(&table, "teacher");
    assert_eq!(teacher.robust[0], Measurement::Pending { job: JobId(5), state: JobState::Failed });
    assert_eq!(row(&table, "student").natural, Measurement::Pending { job: JobId(6), state: JobState::Waiting });
    assert!(table.remarks.contains(&"Job 5 (attack teacher) failed: no memory.".to_owned()), "{:?}", table.remarks);
}

#[test]
fn a_failed_evaluations_stray_record_is_not_reported() {
    let mut jobs = complete();
    evaluate(&mut jobs, "attack student", 10, 10);
    job(&mut jobs, "attack student").summary.state = JobState::Failed;
    assert_eq!(row(&table(&jobs), "student").robust[0].accuracy(), None);
}

#[test]
fn nothing_makes_an_empty_table() {
    let table = table(&[]);
    assert!(table.rows.is_empty() && rrm_report::figure(&table).is_err());
}

/// Another adversarial training of the student's network.
fn another_reference(jobs: &mut Vec<JobDetail>, id: i64, name: &str, seconds: &[u64]) {
    let mut other = job(jobs, "reference").clone();
    (other.summary.id, other.summary.name) = (JobId(id), name.into());
    let JobSpec::Train(spec) = &mut other.spec else { panic!("a training") };
    spec.epochs = std::num::NonZeroU32::new(seconds.len() as u32).unwrap();
    jobs.push(other);
    train(jobs, name, "node1", seconds);
}

/// Has a training begin with the weights of another.
fn tune(jobs: &mut [JobDetail], name: &str) {
    let JobSpec::Train(spec) = &mut job(jobs, name).spec else { panic!("a training") };
    spec.initial = Some(ModelSource::Job("#1".parse().unwrap()));
}

#[test]
fn a_fine_tuning_is_no_baseline_where_there_is_a_training_from_fresh_weights() {
    let mut jobs = complete();
    another_reference(&mut jobs, 50, "tuned", &[30, 30, 30, 30, 30, 30]);
    tune(&mut jobs, "tuned");
    let table = table(&jobs);
    // Neither its time nor its six epochs count.
    for name in ["student", "control", "tuned"] {
        let baseline = &row(&table, name).speed_up.as_ref().unwrap().baseline;
        assert_eq!((baseline.name.as_str(), baseline.scaled_to_epochs), ("reference", Some(5)), "{name}");
        assert_eq!((baseline.candidates, baseline.is_fine_tuning), (1, false), "{name}");
    }
    assert!(!table.to_markdown().contains("began with"), "{}", table.to_markdown());
}

#[test]
fn where_there_is_nothing_but_a_fine_tuning_a_footnote_says_so() {
    let mut jobs = complete();
    tune(&mut jobs, "reference");
    let table = table(&jobs);
    assert!(row(&table, "student").speed_up.as_ref().unwrap().baseline.is_fine_tuning);
    assert_eq!(row(&table, "reference").speed_up, None, "over its own scaled time");
    let markdown = table.to_markdown();
    assert!(markdown.contains("reference began with another network's weights"), "{markdown}");
}

#[test]
fn one_baseline_of_several_is_named() {
    let mut jobs = complete();
    another_reference(&mut jobs, 50, "longer", &[140, 140, 140, 140, 140]);
    let table = table(&jobs);
    let baseline = &row(&table, "student").speed_up.as_ref().unwrap().baseline;
    assert_eq!((baseline.name.as_str(), baseline.candidates, baseline.scaled_to_epochs), ("longer", 2, None));
    let markdown = table.to_markdown();
    assert!(markdown.contains("Over longer (job 50), one of 2 adversarial trainings"), "{markdown}");
}

#[test]
fn datasets_are_not_mixed_in_speed_ups() {
    let mut jobs = complete();
    let JobSpec::Train(spec) = &mut job(&mut jobs, "reference").spec else { panic!("a training") };
    spec.dataset.train_images = std::num::NonZeroU32::new(1000);
    assert_eq!(row(&table(&jobs), "student").speed_up, None);
}
