//! How an operation joins Candle's graph.
//!
//! Candle's own custom operations take at most three tensors, and for every edge of the graph its backward pass clears a tensor
//! of the edge's size and adds the gradient to it: for large activations that costs as much as many a layer. So here a
//! large tensor enters the graph only where Candle itself needs it. An operation's node is a *token*, a tensor with a
//! single number; tokens are connected as the tensors are, so that Candle's backward pass visits them in the right order, and
//! the gradients themselves travel beside the graph, in *mailboxes*, without being copied. A variable enters a node as itself,
//! for Candle takes its gradient at once; a result of Candle gets a token by an *inlet*; what an operation returns to the
//! world is an *outlet*, which takes the gradients of whatever the world does with it.
//!
//! All this is the same on every device: tokens lie where the tensors lie.

mod edge;
mod mailbox;
mod node;
mod token;

use std::sync::{Arc, OnceLock};

use candle_core::op::BackpropOp;
use candle_core::{Result, Shape, Storage, Tensor, bail};

use self::edge::{reveal, token_of};
use self::mailbox::Mailbox;
use self::node::{Node, Way};
use crate::element::{Element, stored};
use crate::epilogue::Activation;
use crate::finite;

pub use edge::live_results;

/// The backward pass of one operation, with what it keeps from the forward pass.
pub(crate) trait Backward: Send + Sync + 'static {
    /// The operation's name.
    fn name(&self) -> &'static str;

    /// Whether the backward pass reads the result; else it is not kept.
    fn reads_result(&self) -> bool {
        false
    }

    /// Gradients of the arguments: `Some` for each that is wanted.
    fn backward(&self, arrived: Arrived<'_>) -> Result<Vec<Option<Tensor>>>;
}

/// What a backward pass starts from.
pub(crate) struct Arrived<'a> {
    /// Gradient of the result, contiguous. It may be handed on as it is, but to one argument only.
    pub(crate) gradient: Tensor,
    /// The result, if [`Backward::reads_result`].
    pub(crate) result: Option<&'a Tensor>,
    /// For each argument, whether its gradient is asked for.
    pub(crate) wanted: &'a [bool],
}

impl Arrived<'_> {
    /// The gradient before `activation`, the last thing that the operation did.
    pub(crate) fn before(&self, activation: Activation) -> Result<Tensor> {
        match (activation, self.result) {
            (Activation::Identity, _) => Ok(self.gradient.clone()),
            (Activation::Relu, Some(result)) => crate::activation::masked(result, &self.gradient),
            (Activation::Relu, None) => bail!("the result of a ReLU was not kept"),
        }
    }

    /// The gradient of argument `index`, if it is wanted.
    pub(crate) fn wanted(&self, index: usize, of: impl FnOnce() -> Result<Tensor>) -> Result<Option<Tensor>> {
        self.wanted[index].then(of).transpose()
    }
}

/// The result `y`, of shape `shape`, of an operation on `arguments`, connected with those of them that are tracked.
pub(crate) fn record<T: Element>(
    arguments: &[&Tensor],
    y: Vec<T>,
    shape: impl Into<Shape>,
    operation: impl Backward,
) -> Result<Tensor> {
    record_stored(arguments, Storage::Cpu(stored(y)), shape, operation)
}

/// [`record`], of a result on any device.
pub(crate) fn record_stored(
    arguments: &[&Tensor],
    y: Storage,
    shape: impl Into<Shape>,
    operation: impl Backward,
) -> Result<Tensor> {
    let name = operation.name();
    let y = connect(arguments, y, shape.into(), operation)?;
    finite::look_at(name, arguments, &y)?;
    Ok(y)
}

fn connect(arguments: &[&Tensor], y: Storage, shape: Shape, operation: impl Backward) -> Result<Tensor> {
    if !arguments.iter().any(|argument| argument.track_op()) {
        return Ok(Tensor::from_storage(y, shape, BackpropOp::none(), false));
    }
    let Entries { entries, ways } = enter(arguments)?;
    let (mailbox, result) = (Arc::new(Mailbox::default()), Arc::new(OnceLock::new()));
    let reads_result = operation.reads_result();
    let node = Node {
        operation: Box::new(operation),
        result: result.clone(),
        gradient: mailbox.clone(),
        wanted: arguments.iter().map(|argument| argument.track_op()).collect(),
        arguments: arguments.iter().map(|argument| argument.dtype()).zip(ways).collect(),
        entries: entries.len(),
    };
    let token = match &entries[..] {
        [a] => a.apply_op1(node)?,
        [a, b] => a.apply_op2(b, node)?,
        [a, b, c] => a.apply_op3(b, c, node)?,
        _ => bail!("a node of {} entries", entries.len()),
    };
    let y = reveal(y, shape, token, mailbox)?;
    if reads_result {
        result.set(y.detach()).expect("the node is new");
    }
    Ok(y)
}

/// The tensors through which Candle sees a node's arguments, at most three; and for each argument which way its gradient goes.
struct Entries {
    entries: Vec<Tensor>,
    ways: Vec<Way>,
}

/// Candle's custom operations take at most so many arguments.
const MOST_ENTRIES: usize = 3;

/// Variables enter as themselves where there is room; all others share one entry, the sum of their tokens, a node that depends
/// on all of them.
fn enter(arguments: &[&Tensor]) -> Result<Entries> {
    let (mut tokens, mut variables): (Option<Tensor>, Vec<Tensor>) = (None, Vec::new());
    let tracked = arguments.iter().filter(|argument| argument.track_op());
    let shared = tracked.clone().any(|argument| !argument.is_variable()) || tracked.count() > MOST_ENTRIES;
    let first_variable = usize::from(shared);
    let mut ways = Vec::with_capacity(arguments.len());
    for &argument in arguments {
        if !argument.track_op() {
            ways.push(Way::Nowhere);
        } else if argument.is_variable() && first_variable + variables.len() < MOST_ENTRIES {
            ways.push(Way::Entry(first_variable + variables.len()));
            variables.push(argument.clone());
        } else {
            let (token, mailbox) = token_of(argument)?;
            tokens = Some(match tokens {
                None => token,
                Some(others) => (others + token)?,
            });
            ways.push(Way::Mail(mailbox));
        }
    }
    Ok(Entries { entries: tokens.into_iter().chain(variables).collect(), ways })
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::{Conv2dConfig, PoolConfig, avg_pool2d, conv2d, relu};

    fn numbers(t: &Tensor) -> Vec<f64> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn image() -> Var {
        Var::from_vec((0..16).map(|i| f64::from(i) - 7.5).collect::<Vec<_>>(), (1, 1, 4, 4), &Device::Cpu).unwrap()
    }

    fn doubled(x: &Tensor) -> Tensor {
        let weight = Tensor::full(2.0f64, (1, 1, 1, 1), &Device::Cpu).unwrap();
        conv2d(x, &weight, None, Conv2dConfig { stride: 1, padding: 0 }).unwrap()
    }

    fn gradient(y: &Tensor, x: &Var) -> Vec<f64> {
        numbers(y.sum_all().unwrap().backward().unwrap().get(x).unwrap())
    }

    #[test]
    fn every_use_of_a_result_adds_to_its_gradient() {
        let x = image();
        let y = doubled(&x);
        // Used by this crate twice, as a whole and after a view, and by Candle.
        let ours = (doubled(&y) + doubled(&y.reshape((1, 1, 2, 8)).unwrap()).reshape((1, 1, 4, 4)).unwrap()).unwrap();
        let all = ((ours + relu(&y).unwrap()).unwrap() + y.affine(3.0, 0.0).unwrap()).unwrap();
        let expected: Vec<f64> = (0..16).map(|i| 2.0 * (2.0 + 2.0 + 3.0 + f64::from(u8::from(i > 7)))).collect();
        assert_eq!(gradient(&all, &x), expected);
    }

    #[test]
    fn a_graph_can_be_walked_twice() {
        let x = image();
        let y = relu(&doubled(&doubled(&x))).unwrap();
        assert_eq!(gradient(&y, &x), gradient(&y, &x));
    }

    #[test]
    fn two_losses_share_a_part_of_the_graph() {
        let x = image();
        let y = doubled(&x);
        let (first, second) = (doubled(&y), relu(&y).unwrap());
        assert_eq!(gradient(&first, &x), vec![4.0; 16]);
        assert_eq!(gradient(&second, &x), [vec![0.0; 8], vec![2.0; 8]].concat());
        assert_eq!(gradient(&first, &x), vec![4.0; 16]);
    }

    #[test]
    fn a_gradient_that_is_handed_on_is_not_changed_for_its_owner() {
        let x = image();
        let y = doubled(&x);
        // Candle hands the same gradient to both sides of this sum.
        let pooled = avg_pool2d(&y, PoolConfig { kernel: 1, stride: 1, padding: 0 }).unwrap();
        let all = ((&y + &pooled).unwrap() + &y).unwrap();
        assert_eq!(gradient(&all, &x), vec![6.0; 16]);
    }

    #[test]
    fn a_detached_result_ends_the_graph() {
        let x = image();
        let y = doubled(&x);
        assert!(y.track_op());
        assert!(!doubled(&y.detach()).track_op());
        let mixed = (doubled(&y.detach()) + &y).unwrap();
        assert_eq!(gradient(&mixed, &x), vec![2.0; 16]);
    }

    #[test]
    fn results_that_nobody_holds_are_forgotten() {
        let x = image();
        let y = doubled(&x);
        let z = doubled(&y);
        let ids = [y.id(), z.id()];
        assert!(ids.iter().all(edge::holds));
        drop(y);
        gradient(&z, &x);
        drop(z);
        assert!(!ids.iter().any(edge::holds));
    }
}
