//! The generator of golden inputs and weights: `fnv1a64` of a name seeds a `splitmix64` stream.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use serde_json::Value;

use crate::{
    compare::{Report, Tolerance},
    folder::Folder,
};

/// All streams of one seed.
#[derive(Clone, Copy)]
pub(crate) struct Generator {
    seed: u64,
}

/// The numbers of one name.
pub(crate) struct Numbers {
    state: u64,
}

/// FNV-1a, 64 bits.
fn fnv1a64(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Numbers {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    pub(crate) fn u01(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (-53f64).exp2()
    }

    /// Uniform in [-1, 1).
    pub(crate) fn sym(&mut self) -> f64 {
        2.0 * self.u01() - 1.0
    }
}

impl Generator {
    /// The streams of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The stream of `name`.
    pub(crate) fn stream(self, name: &str) -> Numbers {
        Numbers { state: fnv1a64(name) ^ self.seed }
    }

    /// `count` numbers in [-1, 1).
    pub(crate) fn sym(self, name: &str, count: usize) -> Vec<f64> {
        let mut stream = self.stream(name);
        (0..count).map(|_| stream.sym()).collect()
    }

    /// `count` numbers in [0, 1).
    pub(crate) fn u01(self, name: &str, count: usize) -> Vec<f64> {
        let mut stream = self.stream(name);
        (0..count).map(|_| stream.u01()).collect()
    }

    /// `sym` in f64, in a shape.
    pub(crate) fn sym_tensor(self, name: &str, shape: &[usize]) -> Result<Tensor> {
        Ok(Tensor::from_vec(self.sym(name, shape.iter().product()), shape, &Device::Cpu)?)
    }

    /// `count` classes below `classes`.
    pub(crate) fn labels(self, name: &str, count: usize, classes: u64) -> Vec<u32> {
        let mut stream = self.stream(name);
        (0..count).map(|_| ((stream.next() >> 33) % classes) as u32).collect()
    }

    /// `count` bytes.
    pub(crate) fn img_u8(self, name: &str, count: usize) -> Vec<u8> {
        let mut stream = self.stream(name);
        (0..count).map(|_| (stream.u01() * 256.0).floor() as u8).collect()
    }

    /// Images in [0, 1] of the wanted type, made in f32.
    pub(crate) fn images(self, name: &str, shape: &[usize], dtype: DType) -> Result<Tensor> {
        images(&self.img_u8(name, shape.iter().product()), shape, dtype)
    }

    /// The signed checksum of some numbers.
    pub(crate) fn probe(self, name: &str, numbers: &[f64]) -> f64 {
        let mut stream = self.stream(&format!("probe:{name}"));
        numbers.iter().map(|number| number * stream.sym()).sum()
    }

    /// The weights of a network, by key; `state` are the shapes of its state dict.
    pub(crate) fn weights(self, state: &Value, gain: f64) -> Result<HashMap<String, Tensor>> {
        let state = state.as_object().context("a state dict of shapes")?;
        state.iter().map(|(key, shape)| self.weight(key, shape, gain)).collect()
    }

    fn weight(self, key: &str, shape: &Value, gain: f64) -> Result<(String, Tensor)> {
        let shape: Vec<usize> = serde_json::from_value(shape.clone())?;
        let tensor = if key.ends_with("num_batches_tracked") {
            Tensor::zeros(shape, DType::I64, &Device::Cpu)?
        } else {
            let numbers: Vec<f32> = self.weight_numbers(key, &shape, gain).into_iter().map(|w| w as f32).collect();
            Tensor::from_vec(numbers, shape, &Device::Cpu)?
        };
        Ok((key.to_owned(), tensor))
    }

    fn weight_numbers(self, key: &str, shape: &[usize], gain: f64) -> Vec<f64> {
        let fan_in: usize = shape.iter().skip(1).product();
        let scale = (gain / fan_in as f64).sqrt();
        let rule = move |sym: f64| match key.rsplit('.').next() {
            _ if shape.len() >= 2 => sym * scale,
            Some("weight") => 1.0 + 0.1 * sym,
            Some("running_var") => 1.0 + 0.5 * sym.abs(),
            _ => 0.1 * sym, // Biases and running means.
        };
        self.sym(key, shape.iter().product()).into_iter().map(rule).collect()
    }
}

/// Bytes as pixels: one division in f32, then widened.
pub(crate) fn images(bytes: &[u8], shape: &[usize], dtype: DType) -> Result<Tensor> {
    let pixels: Vec<f32> = bytes.iter().map(|&k| f32::from(k) / 255.0).collect();
    Ok(Tensor::from_vec(pixels, shape, &Device::Cpu)?.to_dtype(dtype)?)
}

/// `generator.json`.
pub(crate) fn compare(folder: &Folder, file: &str) -> Result<Report> {
    let examples: serde_json::Map<String, Value> = folder.json(file)?;
    let generator = folder.generator();
    let mut report = Report::default();
    for (name, example) in &examples {
        match Call::parse(name) {
            None if example.get("state0").is_some() => stream_example(&mut report, generator, name, example)?,
            None => weight_example(&mut report, generator, name, example)?,
            Some(call) => call_example(&mut report, generator, &call, example)?,
        }
    }
    Ok(report)
}

fn stream_example(report: &mut Report, generator: Generator, name: &str, example: &Value) -> Result<()> {
    let hex = |number: u64| Value::from(format!("{number:016x}"));
    let count = example["next_u64_hex"].as_array().context("next_u64_hex")?.len();
    let mut stream = generator.stream(name);
    let next: Vec<Value> = (0..count).map(|_| hex(stream.next())).collect();
    report.same(&format!("{name} seed"), &Value::from(generator.seed), &example["seed"]);
    report.same(&format!("{name} fnv1a64"), &hex(fnv1a64(name)), &example["fnv1a64"]);
    report.same(&format!("{name} state0"), &hex(generator.stream(name).state), &example["state0"]);
    report.same(&format!("{name} next"), &Value::from(next), &example["next_u64_hex"]);
    report.same(&format!("{name} u01"), &Value::from(generator.u01(name, count)), &example["u01"]);
    report.same(&format!("{name} sym"), &Value::from(generator.sym(name, count)), &example["sym"]);
    Ok(())
}

/// An example named like `features.0.weight as conv [32,3,3,3], gain 6`.
fn weight_example(report: &mut Report, generator: Generator, name: &str, example: &Value) -> Result<()> {
    let (key, recipe) = name.split_once(" as conv ").with_context(|| format!("no recipe in `{name}`"))?;
    let (shape, gain) = recipe.split_once(", gain ").with_context(|| format!("no gain in `{name}`"))?;
    let shape: Vec<usize> = serde_json::from_str(shape)?;
    let numbers: Vec<f32> =
        generator.weight_numbers(key, &shape, gain.parse()?).into_iter().map(|w| w as f32).collect();
    let first: Vec<Value> = numbers.iter().take(4).map(|w| f64::from(*w).into()).collect();
    let bits: Vec<Value> = numbers.iter().take(4).map(|w| format!("{:08x}", w.to_bits()).into()).collect();
    report.same(&format!("{name}: first four"), &Value::from(first), &example["f32_first4"]);
    report.same(&format!("{name}: their bits"), &Value::from(bits), &example["f32_first4_bits"]);
    let expected = example["f64_sum_of_f32"].as_f64().context("f64_sum_of_f32")?;
    // The order of summation is not told.
    let sum: f64 = numbers.iter().map(|&w| f64::from(w)).sum();
    report.close(&format!("{name}: sum"), &[sum], &[expected], Tolerance::Each(1e-12));
    Ok(())
}

fn call_example(report: &mut Report, generator: Generator, call: &Call, example: &Value) -> Result<()> {
    let found = match call.function.as_str() {
        "labels" => {
            ensure!(call.numbers.len() == 2, "labels takes a count and the classes: {call:?}");
            Value::from(generator.labels(&call.name, call.numbers[0], call.numbers[1] as u64))
        }
        "img_u8" => Value::from(generator.img_u8(&call.name, call.numbers.iter().product())),
        function => {
            report.skip(format!("{function}: no recipe of it is told, and no comparison uses it"));
            return Ok(());
        }
    };
    report.same(&format!("{call:?}"), &found, example);
    Ok(())
}

/// A recipe of the index, such as `img_u8('models.dnn.x', [4, 3, 32, 32])/255`.
#[derive(Debug, PartialEq)]
pub(crate) struct Call {
    /// What is called.
    pub(crate) function: String,
    /// The stream's name.
    pub(crate) name: String,
    /// The other arguments.
    pub(crate) numbers: Vec<usize>,
}

impl Call {
    /// The recipe at the beginning of `text`; none where it begins otherwise.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (function, rest) = text.split_once("('")?;
        let (name, rest) = rest.split_once('\'')?;
        let (arguments, _) = rest.split_once(')').unwrap_or((rest, ""));
        let numbers = arguments.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
        let is_name = !function.is_empty() && function.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        is_name.then(|| Self { function: function.to_owned(), name: name.to_owned(), numbers })
    }

    /// The recipe that must be at the beginning of `text`.
    pub(crate) fn expect(function: &str, text: &Value) -> Result<Self> {
        let text = text.as_str().context("a recipe")?;
        let call = Self::parse(text).with_context(|| format!("no recipe `{text}`"))?;
        ensure!(call.function == function, "`{text}` is no {function}");
        Ok(call)
    }
}
