//! What is said about images.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use rrm_spec::DatasetName;

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Fetch a dataset into the data folder
    #[command(after_help = "\
Fashion-MNIST comes from Debian's package dataset-fashion-mnist where apt serves it (nothing is installed, \
no root is needed), else from its official address; CIFAR-10, CIFAR-100 and SVHN from their official \
addresses. ImageNet is given to registered researchers only: put its folders (or some) into imagenet/train \
and imagenet/val of the data folder. An interrupted download goes on where it stopped. Everything is verified by SHA-256; what is already there and sound is \
left alone.

Examples:
  rrm data fetch fashion-mnist
  rrm data fetch cifar10 --data-dir /scratch/data
  rrm data fetch cifar10 --mirror http://files.lab.example/datasets")]
    Fetch(FetchArguments),
    /// Read every image of a folder and say what it holds
    #[command(after_help = "\
Knows CIFAR-10 and CIFAR-100 (binary and python layouts), SVHN, Fashion-MNIST, the classes of \
Restricted-ImageNet in an ImageNet folder, and folders with train/CLASS/* and test/CLASS/*.
A damaged file is named with the place of the damage.

Examples:
  rrm data check ~/.local/share/rrm/fashion-mnist
  rrm data check my-images")]
    Check(CheckArguments),
}

#[derive(Debug, Args)]
pub(crate) struct FetchArguments {
    /// cifar10, cifar100, svhn or fashion-mnist
    #[arg(value_name = "NAME")]
    pub(crate) name: DatasetName,

    /// The data folder [default: $XDG_DATA_HOME/rrm, or ~/.local/share/rrm]
    #[arg(long, env = "RRM_DATA_DIR", value_name = "FOLDER", hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,

    /// Load the files from this address instead of the official one and of Debian's; they are verified all the same
    #[arg(long, env = "RRM_MIRROR", value_name = "URL", hide_env_values = true)]
    pub(crate) mirror: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The folder
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
}
