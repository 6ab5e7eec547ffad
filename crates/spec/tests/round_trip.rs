//! Every valid job survives being written and read.

mod strategies;

use proptest::prelude::*;
use rrm_spec::read_job;
use strategies::{evaluate, train};

proptest! {
    #[test]
    fn a_valid_job_survives_json(job in prop_oneof![train(), evaluate()]) {
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
