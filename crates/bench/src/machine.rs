//! Which machine this is.

use std::fs;

use serde::{Deserialize, Serialize};

/// What a speed depends on first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's own name, with the numbers that tell its generation where that name is vague.
    pub processor: String,
    /// Processors that this process may use.
    pub processors: usize,
    /// The instruction sets among those that matter here.
    pub instructions: Vec<String>,
    /// In GiB, rounded.
    pub memory_gib: u64,
}

/// As Linux names them.
const INSTRUCTIONS: [&str; 5] = ["avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16"];

impl Machine {
    /// This one.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn this() -> anyhow::Result<Self> {
        let processors = std::thread::available_parallelism()?.get();
        Ok(Self::parse(&fs::read_to_string("/proc/cpuinfo")?, &fs::read_to_string("/proc/meminfo")?, processors))
    }

    fn parse(cpuinfo: &str, meminfo: &str, processors: usize) -> Self {
        let field = |name: &str| field(cpuinfo, name).unwrap_or("unknown");
        let processor = format!("{} (family {}, model {})", field("model name"), field("cpu family"), field("model"));
        let flags: Vec<_> = field("flags").split_whitespace().collect();
        let instructions = INSTRUCTIONS.into_iter().filter(|name| flags.contains(name)).map(str::to_owned).collect();
        Self {
            processor,
            processors,
            instructions,
            memory_gib: kib(meminfo, "MemTotal").unwrap_or(0).div_ceil(1 << 20),
        }
    }
}

/// The first line `name: value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

/// The first line `name: N kB`, as Linux writes KiB.
pub(crate) fn kib(text: &str, name: &str) -> Option<u64> {
    field(text, name)?.strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPUINFO: &str = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n\
        model name\t: AMD EPYC\nflags\t\t: fpu avx2 fma avx512f avx512_bf16 avx512bw\n\nprocessor\t: 1\n";

    #[test]
    fn a_machine_is_read_from_what_linux_tells() {
        let machine = Machine::parse(CPUINFO, "MemTotal:       24601356 kB\nMemFree: 1 kB\n", 2);
        assert_eq!(machine.processor, "AMD EPYC (family 25, model 17)");
        assert_eq!(machine.instructions, ["avx2", "fma", "avx512f", "avx512_bf16"]);
        assert_eq!((machine.processors, machine.memory_gib), (2, 24));
    }

    #[test]
    fn a_kernel_that_tells_less_is_no_error() {
        let machine = Machine::parse("", "", 1);
        assert_eq!(machine.processor, "unknown (family unknown, model unknown)");
        assert!(machine.instructions.is_empty());
    }
}
