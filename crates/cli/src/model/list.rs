//! `rrm model list`: every architecture, or what was imported.

use rrm_anatomy::Anatomy;
use rrm_spec::{Arch, Family, ImportedNetwork, NetworkSpec};
use serde_json::json;

use super::show::authors;
use crate::{
    columns::{Columns, Side},
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output},
};

pub(super) fn architectures(output: Output) -> Result<Exit, Failure> {
    let mut all = Vec::new();
    for family in Family::ALL {
        let arch = Arch::new(family, 1).expect("every family has its full width");
        let anatomy = Anatomy::of(&authors(arch));
        all.push(anatomy.expect("the authors' networks are possible"));
    }
    match output.format() {
        Format::Ids => all.iter().try_for_each(|anatomy| output.line(&anatomy.network.arch.to_string()))?,
        Format::Json => {
            let networks: Vec<_> = all.iter().map(super::show::summary).collect();
            output.document(json!({"architectures": networks, "width_divisors": Arch::DIVISORS}))?;
        }
        Format::Human => {
            output.text(&table(&all, output))?;
            output.note(
                "Each also with /2, /4, /8 or /16 for a fraction of the width; `rrm model show ARCH` has the layers.",
            );
        }
    }
    Ok(Exit::Done)
}

fn table(all: &[Anatomy], output: Output) -> String {
    let mut columns = Columns::new([
        ("network", Side::Left),
        ("images", Side::Left),
        ("classes", Side::Right),
        ("parameters", Side::Right),
        ("multiply-adds", Side::Right),
        ("representation", Side::Right),
        ("tensors", Side::Right),
    ]);
    for anatomy in all {
        let NetworkSpec { arch, channels, classes, representation_width, .. } = &anatomy.network;
        let side = arch.family().image_side();
        columns.push([
            arch.to_string().into(),
            format!("{channels}×{side}×{side}").into(),
            classes.to_string().into(),
            super::show::grouped(anatomy.parameters()).into(),
            super::show::grouped(anatomy.multiply_adds()).into(),
            representation_width.to_string().into(),
            anatomy.tensors().count().to_string().into(),
        ]);
    }
    columns.render(output)
}

pub(super) async fn imported(daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let imports =
        daemon.client.imports().await.map_err(|error| Failure::from(error).context("list imported networks"))?;
    match output.format() {
        Format::Ids => imports.iter().try_for_each(|import| output.line(import.name.as_str()))?,
        Format::Json => output.document(json!({"imports": imports}))?,
        Format::Human if imports.is_empty() => output.note("no network was imported: `rrm model import` takes one in"),
        Format::Human => output.text(&imports_table(&imports, output))?,
    }
    Ok(Exit::Done)
}

fn imports_table(imports: &[ImportedNetwork], output: Output) -> String {
    let mut columns = Columns::new([
        ("name", Side::Left),
        ("network", Side::Left),
        ("classes", Side::Right),
        ("representation", Side::Right),
        ("normalisation", Side::Left),
        ("sha256", Side::Left),
        ("origin", Side::Left),
    ]);
    for ImportedNetwork { name, sha256, bytes: _, network, origin } in imports {
        columns.push([
            name.as_str().into(),
            network.arch.to_string().into(),
            network.classes.to_string().into(),
            network.representation_width.to_string().into(),
            network.normalization.to_string().into(),
            sha256.as_str().into(),
            origin.as_str().into(),
        ]);
    }
    columns.render(output)
}
