//! A folder of golden data: its index, its tensors, its JSON files.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{compare::Report, generator::Generator};

/// Numbers computed by running reference code, described by `index.json`.
pub(crate) struct Folder {
    path: PathBuf,
    index: Index,
}

#[derive(Deserialize)]
struct Index {
    seed: u64,
    teacher_seed: u64,
    files: BTreeMap<String, Entry>,
}

/// What the index says about a file.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Entry {
    /// Which code made it.
    pub(crate) code: Value,
    /// How.
    pub(crate) parameters: Value,
    /// How close a comparison must come, in words.
    pub(crate) tolerance: String,
    /// Type and shape of each tensor.
    pub(crate) tensors: BTreeMap<String, (String, Vec<usize>)>,
    /// The file that explains this one.
    pub(crate) see: Option<String>,
}

impl Folder {
    /// Opens the folder at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self { path: path.to_owned(), index: read_json(&path.join("index.json"))? })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The names of all files in the index.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.index.files.keys().map(String::as_str)
    }

    /// The generator of inputs and students' weights.
    pub(crate) fn generator(&self) -> Generator {
        Generator::new(self.index.seed)
    }

    /// The generator of teachers' weights.
    pub(crate) fn teacher_generator(&self) -> Generator {
        Generator::new(self.index.teacher_seed)
    }

    /// What the index says about `file`.
    pub(crate) fn entry(&self, file: &str) -> Result<&Entry> {
        self.index.files.get(file).with_context(|| format!("the index has no {file}"))
    }

    /// A JSON file.
    pub(crate) fn json<T: DeserializeOwned>(&self, file: &str) -> Result<T> {
        read_json(&self.path.join(file))
    }

    /// The tensors of a file, which must be those that the index names.
    pub(crate) fn tensors(&self, file: &str) -> Result<Tensors> {
        let path = self.path.join(file);
        let tensors =
            candle_core::safetensors::load(&path, &Device::Cpu).with_context(|| path.display().to_string())?;
        for (name, (dtype, shape)) in &self.entry(file)?.tensors {
            let tensor = tensors.get(name).with_context(|| format!("{file} has no {name}"))?;
            let found = (type_name(tensor.dtype()), tensor.dims());
            ensure!(found == (dtype, shape), "{file}: {name} is {found:?}, the index says {dtype} {shape:?}");
        }
        Ok(Tensors { file: file.to_owned(), tensors, untouched: RefCell::default() }.untouched())
    }
}

fn type_name(dtype: DType) -> &'static str {
    match dtype {
        DType::U8 => "uint8",
        DType::I64 => "int64",
        DType::F32 => "float32",
        DType::F64 => "float64",
        _ => "a type that golden files do not have",
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// A file's tensors, and which of them no comparison has looked at yet.
pub(crate) struct Tensors {
    file: String,
    tensors: HashMap<String, Tensor>,
    untouched: RefCell<BTreeSet<String>>,
}

impl Tensors {
    fn untouched(self) -> Self {
        *self.untouched.borrow_mut() = self.tensors.keys().cloned().collect();
        self
    }

    /// All names, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tensors.keys().cloned().collect();
        names.sort();
        names
    }

    /// Whether there is such a tensor.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A tensor as it is stored.
    pub(crate) fn get(&self, name: &str) -> Result<Tensor> {
        self.untouched.borrow_mut().remove(name);
        self.tensors.get(name).cloned().with_context(|| format!("{} has no {name}", self.file))
    }

    /// A tensor's numbers; those of a byte or whole number are exact too.
    pub(crate) fn numbers(&self, name: &str) -> Result<Vec<f64>> {
        Ok(self.get(name)?.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?)
    }

    /// A tensor's bytes.
    pub(crate) fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        Ok(self.get(name)?.flatten_all()?.to_vec1()?)
    }

    /// Class labels.
    pub(crate) fn labels(&self, name: &str) -> Result<Vec<u32>> {
        let numbers: Vec<i64> = self.get(name)?.flatten_all()?.to_vec1()?;
        numbers.into_iter().map(|label| Ok(u32::try_from(label)?)).collect()
    }

    /// Ends a comparison: every tensor must have been looked at, or be `excused`, which is then noted with its reason.
    pub(crate) fn all_but(&self, reason: &str, report: &mut Report, excused: impl Fn(&str) -> bool) -> Result<()> {
        let untouched = self.untouched.borrow();
        let (excused, forgotten): (Vec<&str>, Vec<&str>) =
            untouched.iter().map(String::as_str).partition(|n| excused(n));
        if let [first, rest @ ..] = excused.as_slice() {
            report.skip(format!("{first} and {} tensors like it: {reason}", rest.len()));
        }
        ensure!(forgotten.is_empty(), "{}: never compared: {}", self.file, forgotten.join(", "));
        Ok(())
    }

    /// Ends a comparison of every tensor.
    pub(crate) fn all(&self) -> Result<()> {
        self.all_but("", &mut Report::default(), |_| false)
    }
}
