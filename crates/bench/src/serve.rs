//! The other end of a peer's pipes, for libraries that are linked here.

use std::io::{BufRead, Write};

use anyhow::Context;

use crate::protocol::{Hello, Order, Reply, Setup};

/// Something to repeat; tells how many milliseconds it took.
pub type Work = Box<dyn FnMut() -> anyhow::Result<f64>>;

/// Carries out the orders of `input` until it ends.
///
/// # Errors
/// When the pipes break, or a line is no order. What fails in carrying it out is a reply.
pub fn serve(
    hello: Hello,
    set_up: impl Fn(&Setup) -> anyhow::Result<Work>,
    input: impl BufRead,
    mut output: impl Write,
) -> anyhow::Result<()> {
    let mut say = |reply: Reply| writeln!(output, "{}", serde_json::to_string(&reply)?).context("the pipe is closed");
    say(Reply::Hello(hello))?;
    let mut ready = None;
    for line in input.lines() {
        let order = serde_json::from_str(&line?).context("not an order")?;
        let reply = carry_out(order, &mut ready, &set_up);
        say(reply.unwrap_or_else(|error| Reply::Failed(format!("{error:#}"))))?;
    }
    Ok(())
}

fn carry_out(
    order: Order,
    ready: &mut Option<Work>,
    set_up: &impl Fn(&Setup) -> anyhow::Result<Work>,
) -> anyhow::Result<Reply> {
    match order {
        Order::SetUp(setup) => {
            // The old work's memory is given up before the new one takes its own.
            *ready = None;
            *ready = Some(set_up(&setup)?);
            Ok(Reply::Ready {})
        }
        Order::Steps(count) => {
            let work = ready.as_mut().context("nothing is set up")?;
            Ok(Reply::Milliseconds((0..count).map(|_| work()).collect::<anyhow::Result<_>>()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(orders: &str) -> Vec<Reply> {
        let set_up = |setup: &Setup| -> anyhow::Result<Work> {
            let speed = f64::from(setup.batch);
            anyhow::ensure!(setup.arch == "dnn", "unknown network {}", setup.arch);
            Ok(Box::new(move || Ok(speed)))
        };
        let hello = Hello { name: "fake".into(), version: "1".into() };
        let mut output = Vec::new();
        serve(hello, set_up, orders.as_bytes(), &mut output).unwrap();
        String::from_utf8(output).unwrap().lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn set_up(arch: &str) -> String {
        format!(
            r#"{{"set_up": {{"arch": "{arch}", "workload": "eval", "batch": 7, "precision": "f32", "variant": {{"layout": "nchw", "compile": false}}}}}}"#
        )
    }

    #[test]
    fn steps_follow_the_setup() {
        let replies = session(&format!("{}\n{}\n", set_up("dnn"), r#"{"steps": 2}"#));
        assert_eq!(replies, [Reply::Ready {}, Reply::Milliseconds(vec![7.0, 7.0])]);
    }

    #[test]
    fn what_fails_is_a_reply_and_leaves_nothing_set_up() {
        let replies = session(&format!("{}\n{}\n{}\n", set_up("dnn"), set_up("cnn"), r#"{"steps": 1}"#));
        assert_eq!(replies[1], Reply::Failed("unknown network cnn".into()));
        assert_eq!(replies[2], Reply::Failed("nothing is set up".into()));
    }
}
