//! A network namespace with a cable to this one that can be pulled, where this user may make one.

use std::path::Path;
use std::process::{Command, Stdio};

pub(crate) struct Namespace {
    name: String,
    cable: String,
    /// This side's address.
    pub(crate) here: String,
}

fn ip(arguments: &[&str]) -> bool {
    let mut command = Command::new("ip");
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

impl Namespace {
    /// Nothing where it is not allowed, or `ip` is not installed.
    pub(crate) fn make() -> Option<Self> {
        let id = std::process::id();
        let (name, cable, far) = (format!("rrm-chaos-{id}"), format!("rrmc{id}"), format!("rrmf{id}"));
        // Of a range that is for private networks; two runs at once get two of its networks.
        let network = format!("10.213.{}", id % 250);
        let (here, there) = (format!("{network}.1"), format!("{network}.2"));
        if !ip(&["netns", "add", &name]) {
            return None;
        }
        let made = Self { name: name.clone(), cable: cable.clone(), here: here.clone() };
        let steps: [&[&str]; 6] = [
            &["link", "add", &cable, "type", "veth", "peer", "name", &far, "netns", &name],
            &["address", "add", &format!("{here}/30"), "dev", &cable],
            &["link", "set", &cable, "up"],
            &["-n", &name, "address", "add", &format!("{there}/30"), "dev", &far],
            &["-n", &name, "link", "set", &far, "up"],
            &["-n", &name, "link", "set", "lo", "up"],
        ];
        steps.into_iter().all(ip).then_some(made)
    }

    pub(crate) fn pull(&self) {
        ip(&["link", "set", &self.cable, "down"]);
    }

    pub(crate) fn plug(&self) {
        ip(&["link", "set", &self.cable, "up"]);
    }

    /// The program in there.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        // It becomes the program, with the same process id.
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["link", "delete", &self.cable]);
        ip(&["netns", "delete", &self.name]);
    }
}
