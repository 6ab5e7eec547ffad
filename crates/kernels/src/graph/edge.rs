//! The edge of the graph: where tensors of the world enter it, and where results go out into the world.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, Weak};

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Storage, Tensor, TensorId, bail};

use super::mailbox::{Mailbox, lock};
#[cfg(feature = "cuda")]
use super::token::cuda_token;
use super::token::token;

/// What the world sees of an operation.
struct Outlet {
    token: Tensor,
    mailbox: Arc<Mailbox>,
    /// The tensor that was handed out.
    id: OnceLock<TensorId>,
}

/// The outlets that are alive, by the tensor that was handed out: how the next operation finds the token.
static OUTLETS: LazyLock<Mutex<HashMap<TensorId, Weak<Outlet>>>> = LazyLock::new(Mutex::default);

/// Tracked results of this crate's operations that somebody still holds, in this process.
///
/// A training that forgets each step's graph sees the same number after every step.
pub fn live_results() -> usize {
    lock(&OUTLETS).len()
}

/// Whether somebody holds the result that was handed out as `id`.
#[cfg(test)]
pub(super) fn holds(id: &TensorId) -> bool {
    lock(&OUTLETS).contains_key(id)
}

impl Drop for Outlet {
    fn drop(&mut self) {
        if let Some(id) = self.id.get() {
            lock(&OUTLETS).remove(id);
        }
    }
}

/// The token of a tracked tensor, and where its gradient is to be delivered.
pub(super) fn token_of(tensor: &Tensor) -> Result<(Tensor, Arc<Mailbox>)> {
    let outlet = lock(&OUTLETS).get(&tensor.id()).and_then(Weak::upgrade);
    if let Some(outlet) = outlet {
        return Ok((outlet.token.clone(), outlet.mailbox.clone()));
    }
    let mailbox = Arc::new(Mailbox::default());
    Ok((tensor.apply_op1(Inlet(mailbox.clone()))?, mailbox))
}

/// Hands out `y` with a place in the graph.
pub(super) fn reveal(y: Storage, shape: Shape, token: Tensor, mailbox: Arc<Mailbox>) -> Result<Tensor> {
    let outlet = Arc::new(Outlet { token: token.clone(), mailbox, id: OnceLock::new() });
    let y = token.apply_op1(Reveal { y: Mutex::new(Some((y, shape))), outlet: outlet.clone() })?;
    lock(&OUTLETS).insert(y.id(), Arc::downgrade(&outlet));
    outlet.id.set(y.id()).expect("the outlet is new");
    Ok(y)
}

/// From a tensor of the world to its token.
struct Inlet(Arc<Mailbox>);

impl CustomOp1 for Inlet {
    fn name(&self) -> &'static str {
        "inlet"
    }

    fn cpu_fwd(&self, _tensor: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(token())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, tensor: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        cuda_token(tensor)
    }

    fn bwd(&self, tensor: &Tensor, _token: &Tensor, _gradient: &Tensor) -> Result<Option<Tensor>> {
        match self.0.take() {
            Some(letter) => Ok(Some(letter.gradient)),
            None => bail!("no gradient arrived for a tensor of shape {:?}", tensor.shape()),
        }
    }
}

/// From an operation's token to the tensor that the world works with.
struct Reveal {
    /// Taken by the forward pass.
    y: Mutex<Option<(Storage, Shape)>>,
    outlet: Arc<Outlet>,
}

impl Reveal {
    fn take(&self) -> (Storage, Shape) {
        lock(&self.y).take().expect("the forward pass runs once")
    }
}

impl CustomOp1 for Reveal {
    fn name(&self) -> &'static str {
        "outlet"
    }

    fn cpu_fwd(&self, _token: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        match self.take() {
            (Storage::Cpu(y), shape) => Ok((y, shape)),
            _ => bail!("a result of another device than its token"),
        }
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, _token: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        match self.take() {
            (Storage::Cuda(y), shape) => Ok((y, shape)),
            _ => bail!("a result of another device than its token"),
        }
    }

    fn bwd(&self, token: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        self.outlet.mailbox.deliver(gradient.clone(), false)?;
        token.zeros_like().map(Some)
    }
}
