//! Scratch.
#![allow(clippy::all, clippy::print_stdout, missing_docs)]
use rrm_spec::*;
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};
fn main() {
    rrm_kernels::keep_freed_memory();
    let plan = Plan::from_toml(&std::fs::read_to_string(std::env::args().nth(1).unwrap()).unwrap())
        .unwrap_or_else(|e| panic!("{e}"));
    let out = PathBuf::from(std::env::args().nth(2).unwrap());
    let mut ids: HashMap<String, JobId> = HashMap::new();
    let mut inputs = HashMap::new();
    for (i, job) in plan.jobs.iter().enumerate() {
        let id = JobId(i as i64 + 1);
        ids.insert(job.name.clone(), id);
        let mut spec = job.spec.clone();
        if let Some(ModelSource::Job(JobRef::Name(n))) = spec.source() {
            let p = ids[n];
            *spec.source_mut().unwrap() = ModelSource::Job(JobRef::Id(p));
        }
        let dir = out.join(&job.name);
        std::fs::create_dir_all(&dir).unwrap();
        inputs.insert(id, dir.join("final.safetensors"));
        if dir.join("done").exists() {
            continue;
        }
        let env = rrm_train::Environment {
            device: candle_core::Device::Cpu,
            data_dir: "/work/data".into(),
            work_dir: dir.clone(),
            inputs: inputs.clone(),
            resume: None,
            stop: Arc::new(AtomicBool::new(false)),
        };
        let t = std::time::Instant::now();
        let mut last = 0.0;
        let r = rrm_train::run(&spec, &env, &mut |e| match e {
            Event::Record(Record::Epoch(e)) => println!(
                "{} epoch {} {:.1}s loss {:.3} train {:?} nat {:?} rob {:?}",
                job.name,
                e.epoch,
                e.train_us as f64 / 1e6,
                e.loss,
                e.train.fraction(),
                e.natural.fraction(),
                e.robust.and_then(|r| r.fraction())
            ),
            Event::Record(Record::Evaluation(e)) => {
                println!("{} EVAL nat {:?} rob {:?}", job.name, e.natural, e.robust)
            }
            Event::Progress(p) => {
                last = p.images_per_second;
            }
            _ => {}
        });
        println!(
            "{} {:?} {:.1}s {last:.0} img/s",
            job.name,
            r.map(|_| ()).map_err(|e| e.to_string()),
            t.elapsed().as_secs_f64()
        );
        std::fs::write(dir.join("done"), "").unwrap();
    }
}
