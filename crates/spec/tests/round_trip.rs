//! Every valid job survives being written and read.

mod strategies;

use proptest::prelude::*;
use rrm_spec::{JobSpec, Precision, read_job};
use strategies::{evaluate, synthesize, train};

proptest! {
    #[test]
    fn a_valid_job_survives_json(job in prop_oneof![train(), evaluate(), synthesize()]) {
        prop_assert_eq!(job.validate(), Ok(()));
        let json = serde_json::to_string(&job).expect("a job can be written");
        prop_assert_eq!(read_job(&json), Ok(job));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,200}") {
        let _ = read_job(&text);
        let _ = rrm_spec::Plan::from_toml(&text);
    }
}

/// Of a training as it was written before there was a choice of precision. Checkpoints are known by the hash of this text.
const WITHOUT_PRECISION: &str = r#"{"kind":"train","dataset":{"name":"cifar10"},"augmentation":"light","arch":"dnn","method":{"kind":"natural"},"optimizer":{"learning_rate":0.1,"momentum":0.9,"weight_decay":0.0,"schedule":{"kind":"cosine"}},"epochs":3,"batch_size":128,"seed":1,"validation":{}}"#;

#[test]
fn a_training_without_a_precision_is_one_in_f32_and_stays_as_it_was_written() {
    let job = read_job(WITHOUT_PRECISION).unwrap();
    let JobSpec::Train(spec) = &job else { panic!("it trains") };
    assert_eq!(spec.precision, Precision::F32);
    assert_eq!(serde_json::to_string(&job).unwrap(), WITHOUT_PRECISION);
    let said = WITHOUT_PRECISION.replace(r#""seed""#, r#""precision":"f32","seed""#);
    assert_eq!(read_job(&said), Ok(job), "saying it makes no other job of it");
}

#[test]
fn a_training_in_bf16_is_another_job() {
    let text = WITHOUT_PRECISION.replace(r#""seed""#, r#""precision":"bf16","seed""#);
    let job = read_job(&text).unwrap();
    let JobSpec::Train(spec) = &job else { panic!("it trains") };
    assert_eq!(spec.precision, Precision::Bf16);
    assert_eq!(serde_json::to_string(&job).unwrap(), text);
}
