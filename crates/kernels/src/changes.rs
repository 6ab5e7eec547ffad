//! Which tensors have been changed in place, for those who keep what they made of them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use candle_core::Tensor;

/// Counters, which storages share by chance: then one is thought changed that was not, and something is made anew in vain.
static CHANGES: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];

/// Where the storage of a tensor lies, which its views share.
fn storage(tensor: &Tensor) -> usize {
    std::ptr::from_ref(&*tensor.storage_and_layout().0).addr()
}

fn counter(storage: usize) -> &'static AtomicU64 {
    // Fibonacci hashing: the upper bits of the product depend on all bits of the address.
    let hash = (storage as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - 14);
    &CHANGES[hash as usize]
}

/// Notes that `tensor` was changed in place.
pub(crate) fn note(tensor: &Tensor) {
    counter(storage(tensor)).fetch_add(1, Relaxed);
}

/// Tensors as they were at a time. They are kept alive, so that no other storage takes their place.
#[derive(Debug)]
pub(crate) struct Snapshot(Vec<(Tensor, u64)>);

impl Snapshot {
    /// The tensors as they are.
    pub(crate) fn of(tensors: &[&Tensor]) -> Self {
        Self(tensors.iter().map(|tensor| (tensor.detach(), counter(storage(tensor)).load(Relaxed))).collect())
    }

    /// Whether these are the same tensors, which nobody has noted a change of.
    pub(crate) fn shows(&self, tensors: &[&Tensor]) -> bool {
        let same = |(tensor, (kept, changes)): (&&Tensor, &(Tensor, u64))| {
            let place = storage(tensor);
            place == storage(kept) && tensor.layout() == kept.layout() && counter(place).load(Relaxed) == *changes
        };
        self.0.len() == tensors.len() && tensors.iter().zip(&self.0).all(same)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;
    use crate::{SgdConfig, sgd_step, update_running};

    fn var(len: usize) -> Var {
        Var::zeros(len, DType::F32, &Device::Cpu).unwrap()
    }

    #[test]
    fn a_snapshot_shows_its_tensors_until_one_is_changed_in_place() {
        let (weight, running) = (var(3), var(3));
        let view = weight.as_detached_tensor();
        let tensors = [&view, running.as_tensor()];
        let config = SgdConfig { learning_rate: 1.0, momentum: 0.0, weight_decay: 0.0 };
        let before = Snapshot::of(&tensors);
        assert!(before.shows(&[&weight.as_detached_tensor(), running.as_tensor()]), "views share their storage");
        sgd_step(&weight, &view.ones_like().unwrap(), &var(3), config).unwrap();
        assert!(!before.shows(&tensors));
        let stepped = Snapshot::of(&tensors);
        update_running(running.as_tensor(), &view, 0.5).unwrap();
        assert!(!stepped.shows(&tensors));
    }

    #[test]
    fn a_snapshot_shows_no_other_tensors() {
        let (a, b) = (var(4), var(4));
        let snapshot = Snapshot::of(&[&a]);
        assert!(snapshot.shows(&[&a]));
        assert!(!snapshot.shows(&[&b]) && !snapshot.shows(&[]) && !snapshot.shows(&[&a, &b]));
        assert!(!snapshot.shows(&[&a.narrow(0, 1, 2).unwrap()]));
    }
}
