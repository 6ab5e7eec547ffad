//! `rrm model show`: one architecture, layer by layer.

use rrm_anatomy::{Anatomy, Layer, Role, Tensor};
use rrm_spec::{Arch, NetworkSpec, Normalization};
use serde_json::{Value, json};

use crate::{
    arguments::{Adapter, ModelShowArguments},
    columns::{Columns, Side},
    exit::{Exit, Failure},
    output::{Format, Output},
};

pub(super) fn run(arguments: &ModelShowArguments, output: Output) -> Result<Exit, Failure> {
    let usual = authors(arguments.arch);
    let network = NetworkSpec {
        channels: arguments.channels.unwrap_or(usual.channels),
        classes: arguments.classes.unwrap_or(usual.classes),
        representation_width: match arguments.adapter {
            Some(Adapter::Width(width)) => width,
            Some(Adapter::None) => arguments.arch.feature_width(),
            None => usual.representation_width,
        },
        ..usual
    };
    let anatomy =
        Anatomy::of(&network).map_err(|faults| Failure::invalid(format!("describe {}", network.arch), faults))?;
    match output.format() {
        Format::Json => output.document(document(&anatomy))?,
        Format::Ids => anatomy.tensors().try_for_each(|tensor| output.line(&tensor.key))?,
        Format::Human if arguments.keys => output.text(&keys(&anatomy, output))?,
        Format::Human => output.text(&text(&anatomy, output))?,
    }
    Ok(Exit::Done)
}

/// The authors' network of an architecture: for CIFAR-10 or Restricted-ImageNet.
pub(super) fn authors(arch: Arch) -> NetworkSpec {
    let classes = if arch.family().image_side() == 32 { 10 } else { 9 };
    let (normalization, representation_width) = (Normalization::Identity, arch.representation_width());
    NetworkSpec { arch, channels: 3, classes, normalization, representation_width, temperature: 1.0 }
}

/// A whole number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut groups = vec![&digits[..first]];
    groups.extend((first..digits.len()).step_by(3).map(|at| &digits[at..at + 3]));
    groups.retain(|group| !group.is_empty());
    groups.join(" ")
}

fn text(anatomy: &Anatomy, output: Output) -> String {
    let network = &anatomy.network;
    let side = network.arch.family().image_side();
    let adapter = match network.has_adapter() {
        true => format!(", by an adapter from {} features", network.arch.feature_width()),
        false => String::new(),
    };
    format!(
        "{}: images of {}×{side}×{side}, {} classes, representation of {}{adapter}\n{} parameters, {} multiply-adds per image, \
         {} tensors\n\n{}",
        network.arch,
        network.channels,
        network.classes,
        network.representation_width,
        grouped(anatomy.parameters()),
        grouped(anatomy.multiply_adds()),
        anatomy.tensors().count(),
        layers(anatomy, output)
    )
}

fn layers(anatomy: &Anatomy, output: Output) -> String {
    let mut columns = Columns::new([
        ("layer", Side::Left),
        ("operation", Side::Left),
        ("then", Side::Left),
        ("output", Side::Left),
        ("parameters", Side::Right),
        ("multiply-adds", Side::Right),
    ]);
    let count = |number: u64| if number == 0 { "–".to_owned() } else { grouped(number) };
    for layer in &anatomy.layers {
        columns.push([
            if layer.name.is_empty() { "–" } else { layer.name.as_str() }.into(),
            layer.operation.to_string().into(),
            layer.after.to_string().into(),
            layer.output.to_string().into(),
            count(layer.parameters()).into(),
            count(layer.multiply_adds).into(),
        ]);
    }
    columns.render(output)
}

fn keys(anatomy: &Anatomy, output: Output) -> String {
    let mut columns = Columns::new([("key", Side::Left), ("shape", Side::Left), ("role", Side::Left)]);
    for Tensor { key, shape, role } in anatomy.tensors() {
        let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
        let shape = if sizes.is_empty() { "scalar".to_owned() } else { sizes.join("×") };
        columns.push([key.as_str().into(), shape.into(), role_name(*role).into()]);
    }
    columns.render(output)
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Parameter => "parameter",
        Role::Statistic => "statistic",
        Role::Counter => "counter",
    }
}

/// An architecture as a JSON object, without its layers.
pub(super) fn summary(anatomy: &Anatomy) -> Value {
    let NetworkSpec { arch, channels, classes, normalization: _, representation_width, temperature: _ } =
        &anatomy.network;
    json!({
        "arch": arch,
        "image": [channels, arch.family().image_side(), arch.family().image_side()],
        "classes": classes,
        "representation_width": representation_width,
        "feature_width": arch.feature_width(),
        "parameters": anatomy.parameters(),
        "multiply_adds": anatomy.multiply_adds(),
    })
}

fn document(anatomy: &Anatomy) -> Value {
    let tensor = |tensor: &Tensor| json!({"key": tensor.key, "shape": tensor.shape, "role": role_name(tensor.role)});
    let layer = |layer: &Layer| {
        json!({
            "name": layer.name,
            "operation": layer.operation.to_string(),
            "then": layer.after.to_string(),
            "output": layer.output.to_string(),
            "parameters": layer.parameters(),
            "multiply_adds": layer.multiply_adds,
            "tensors": layer.tensors.iter().map(tensor).collect::<Vec<_>>(),
        })
    };
    let mut document = summary(anatomy);
    document["layers"] = anatomy.layers.iter().map(layer).collect();
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let texts = [0, 7, 999, 1000, 24_554_570].map(grouped);
        assert_eq!(texts, ["0", "7", "999", "1 000", "24 554 570"]);
    }
}
