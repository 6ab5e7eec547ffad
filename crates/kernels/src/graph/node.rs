//! An operation as Candle's graph sees it, and its backward pass.

use std::sync::{Arc, OnceLock};

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};

use super::mailbox::{Letter, Mailbox};
#[cfg(feature = "cuda")]
use super::token::cuda_token;
use super::token::token;
use super::{Arrived, Backward};

/// Which way an argument's gradient goes.
pub(super) enum Way {
    /// It is not wanted.
    Nowhere,
    /// Into the mailbox of the operation that the argument comes from.
    Mail(Arc<Mailbox>),
    /// To Candle, as the gradient of an entry.
    Entry(usize),
}

/// An operation's node: from its entries to its own token.
pub(super) struct Node {
    pub(super) operation: Box<dyn Backward>,
    /// The result, where the operation reads it; without a place in the graph, so that there is no cycle.
    pub(super) result: Arc<OnceLock<Tensor>>,
    pub(super) gradient: Arc<Mailbox>,
    pub(super) wanted: Vec<bool>,
    /// Each argument's type, and which way its gradient goes.
    pub(super) arguments: Vec<(DType, Way)>,
    pub(super) entries: usize,
}

impl Node {
    /// Walks the node, which has `N` entries, and returns their gradients.
    fn of_entries<const N: usize>(&self, gradient: &Tensor) -> Result<[Option<Tensor>; N]> {
        Ok(self.walk(gradient)?.try_into().expect("the node was made with as many entries"))
    }

    /// Sends every wanted gradient its way; those of the entries are returned.
    fn walk(&self, gradient: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let Some(of_result) = self.gradient.take() else {
            bail!("no gradient arrived for the result of {}", self.operation.name());
        };
        let of_result = Letter { gradient: of_result.gradient.contiguous()?, ..of_result };
        let arrived = Arrived { gradient: of_result.gradient.clone(), result: self.result.get(), wanted: &self.wanted };
        let gradients = self.operation.backward(arrived)?;
        let mut of_entries = vec![None; self.entries];
        if !self.arguments.iter().any(|(_, way)| matches!(way, Way::Entry(0))) {
            // The entry that tokens share: some gradient must go there, or Candle's walk ends.
            of_entries[0] = Some(gradient.clone());
        }
        for ((dtype, way), gradient) in self.arguments.iter().zip(gradients) {
            let Some(gradient) = gradient else { continue };
            // A gradient that was handed on belongs to whom it belonged to before.
            let owned = gradient.id() != of_result.gradient.id() || of_result.owned;
            // Activations of bf16 meet parameters of f32.
            let gradient = gradient.to_dtype(*dtype)?;
            match way {
                Way::Nowhere => {}
                Way::Mail(mailbox) => mailbox.deliver(gradient, owned)?,
                Way::Entry(entry) => of_entries[*entry] = Some(gradient),
            }
        }
        Ok(of_entries)
    }
}

impl CustomOp1 for Node {
    fn name(&self) -> &'static str {
        self.operation.name()
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(token())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, entry: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        cuda_token(entry)
    }

    fn bwd(&self, _: &Tensor, _token: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let [a] = self.of_entries(gradient)?;
        Ok(a)
    }
}

impl CustomOp2 for Node {
    fn name(&self) -> &'static str {
        self.operation.name()
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(token())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, entry: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        cuda_token(entry)
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _token: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [a, b] = self.of_entries(gradient)?;
        Ok((a, b))
    }
}

impl CustomOp3 for Node {
    fn name(&self) -> &'static str {
        self.operation.name()
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(token())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        entry: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        cuda_token(entry)
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _token: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [a, b, c] = self.of_entries(gradient)?;
        Ok((a, b, c))
    }
}
