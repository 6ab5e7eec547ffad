//! More than the device holds. The last test: it leaves all of the device's memory in this process's pool.

use std::num::NonZeroU32;

use candle_core::{DType, Device, Tensor};
use rrm_spec::FailureClass;
use rrm_train::bench::{Request, Workload, measure};

use crate::{OnDevice, Outcome};

pub(crate) fn tests() -> Vec<OnDevice> {
    vec![("a_batch_that_the_device_cannot_hold_is_an_oom_with_a_hint", no_memory)]
}

/// Numbers of a gibibyte.
const GIBIBYTE: usize = 1 << 28;

fn no_memory(device: &Device) -> Outcome {
    let mut ballast = Vec::new();
    while let Ok(tensor) = Tensor::zeros(GIBIBYTE, DType::F32, device) {
        ballast.push(tensor);
    }
    // Room for the network, not for the batch.
    ballast.truncate(ballast.len().saturating_sub(2));
    let batch = const { NonZeroU32::new(4096).expect("not zero") };
    let request = Request::new("resnet18".parse().expect("an architecture"), Workload::Train, batch);
    let error = match measure(&request, device) {
        Ok(speed) => return Err(format!("there was memory for it: {speed}").into()),
        Err(error) => error,
    };
    if error.class() != FailureClass::OutOfMemory || !error.to_string().contains("batch size 4096") {
        return Err(format!("{:?}: {error}", error.class()).into());
    }
    drop(ballast);
    // The device is none the worse for it.
    Ok(measure(&Request::new(request.arch, Workload::Eval, NonZeroU32::MIN), device).map(drop)?)
}
