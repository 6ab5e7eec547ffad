//! What is said about networks.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, Subcommand};
use rrm_spec::{Arch, NetworkName, Normalization};

use crate::selector::{NetworkSelector, PlanSelector};

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// List the architectures, or the networks that were imported
    List(ModelListArguments),
    /// Show an architecture: its layers with their shapes, parameters and multiply-adds
    Show(ModelShowArguments),
    /// Take in a network that others have trained, so that plans can name it as teacher or evaluate it
    Import(ModelImportArguments),
    /// Write a network as a state dict that PyTorch loads
    Export(ModelExportArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Parameters, multiply-adds and tensors are those of the authors' networks, and of fast_adversarial's preactresnet18: 10 classes for 32×32 images, 9 for 224×224.

Examples:
  rrm model list
  rrm model list --imported       the networks that `rrm model import` has taken in
  rrm --json model list | jq '.architectures[] | [.arch, .parameters]'")]
pub(crate) struct ModelListArguments {
    /// Only the networks that were imported
    #[arg(long)]
    pub(crate) imported: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Multiply-adds are those of convolutions and linear layers, for one image forward.

Examples:
  rrm model show resnet18
  rrm model show resnet50/8 --adapter none       as MadryLab's, without the authors' adapter
  rrm model show vgg11 --classes 100 --keys      keys and shapes of its state dict")]
pub(crate) struct ModelShowArguments {
    /// The architecture, such as resnet18 or resnet18/4
    #[arg(value_name = "ARCH")]
    pub(crate) arch: Arch,

    /// Classes [default: 10 for 32×32 images, 9 for 224×224]
    #[arg(long, value_name = "N")]
    pub(crate) classes: Option<usize>,

    /// Colour channels of an image [default: 3]
    #[arg(long, value_name = "N")]
    pub(crate) channels: Option<usize>,

    /// Width of the representation, to which an adapter leads where it is not the features'; or none [default: the authors']
    #[arg(long, value_name = "WIDTH")]
    pub(crate) adapter: Option<Adapter>,

    /// Show the keys of the state dict instead of the layers
    #[arg(long)]
    pub(crate) keys: bool,
}

/// To what width an adapter leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adapter {
    Width(usize),
    None,
}

impl FromStr for Adapter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            width => {
                width.parse().map(Self::Width).map_err(|_| format!("`{width}` is no width: write a number, or none"))
            }
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Reads PyTorch's zip archives and its files from before 1.6, and safetensors: MadryLab's checkpoints, those of the paper's authors and of \
fast_adversarial (preactresnet18), state dicts as RobustBench's. Prefixes of wrappers (module., model., net., attacker.model.) are stripped, \
duplicates and the optimiser's state left out. No code in a file is run. Classes, channels and adapter are taken from the tensors; \
normalisation from the file where it holds one.

A network that divides its logits by a temperature does not say so in its state dict, and is another function to attacks and to students without: the authors' distilled networks and their teachers were trained at 30.

Everything that is remarkable is told. A name stands for one network for good.

Examples:
  rrm model import cifar_linf_8.pt --arch resnet50 --name madry-linf
  rrm model import checkpoint.pt.last --arch vgg11 --normalization cifar10-fast --name fast-vgg11
  rrm model import kd.pt.last --arch resnet50 --normalization cifar10-madry --temperature 30
  rrm model import model.pth --arch preactresnet18 --normalization cifar10-fast --name fast-at
  rrm model import weights.safetensors --arch resnet18 --output teacher.safetensors      a file for { checkpoint = PATH }

A plan then has teacher = { artifact = \"madry-linf\" } or model = { artifact = \"madry-linf\" }.")]
pub(crate) struct ModelImportArguments {
    /// The checkpoint
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Its architecture, such as resnet50 or resnet18/4; only files of this software tell it themselves
    #[arg(long, value_name = "ARCH")]
    pub(crate) arch: Option<Arch>,

    /// Refuse a network of another number of classes
    #[arg(long, value_name = "N")]
    pub(crate) classes: Option<usize>,

    /// The constants by which it normalises pixels [default: the file's]
    #[arg(long, value_name = "NAME")]
    pub(crate) normalization: Option<Normalization>,

    /// What it divides its logits by, above 0 and at most 1000 [default: the file's, which only files of this software tell; else 1]
    #[arg(long, value_name = "T", value_parser = temperature)]
    pub(crate) temperature: Option<f64>,

    /// What it is to be called [default: the file's name without its last ending]
    #[arg(long, value_name = "NAME", conflicts_with = "output")]
    pub(crate) name: Option<NetworkName>,

    /// Write it to this file instead of sending it to the daemon
    #[arg(long, short, value_name = "FILE.safetensors")]
    pub(crate) output: Option<PathBuf>,
}

/// In the range of a train job's.
fn temperature(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    match number > 0.0 && number <= 1000.0 {
        true => Ok(number),
        false => Err(format!("{number} must be above 0 and at most 1000")),
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
The keys are those of the authors' code (MadryLab's for a resnet50 without adapter), so that load_state_dict(strict=True) takes them; \
clamp and normalisation are not in a state dict, and told.

Examples:
  rrm model export @student -o student.safetensors
  rrm model export madry-linf -o madry.safetensors
  python -c 'from safetensors.torch import load_file; net.load_state_dict(load_file(\"student.safetensors\"))'")]
pub(crate) struct ModelExportArguments {
    /// The network: a train job (its id, or @NAME), an imported network's name, or sha256:HASH
    #[arg(value_name = "NETWORK")]
    pub(crate) network: NetworkSelector,

    /// The file
    #[arg(long, short, value_name = "FILE.safetensors")]
    pub(crate) output: PathBuf,

    /// The plan in which @NAME is looked up
    #[arg(long, value_name = "PLAN", default_value = "last")]
    pub(crate) plan: PlanSelector,
}
