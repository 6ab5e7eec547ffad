//! A whole network.

use rrm_spec::{Family, NetworkSpec, Violations};

use crate::builder::Builder;
use crate::{After, Layer, Tensor, alexnet, dnn, preact_resnet, resnet, vgg, vgg16};

/// Every layer of a network, from the normalised image to the logits.
///
/// Clamp and normalisation come before, and have no tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Anatomy {
    /// What is described.
    pub network: NetworkSpec,
    /// In the order of PyTorch's `state_dict`, which is that of a forward pass.
    pub layers: Vec<Layer>,
}

impl Anatomy {
    /// Describes a network.
    ///
    /// # Errors
    /// Where no network has this shape: all faults at once.
    pub fn of(network: &NetworkSpec) -> Result<Self, Violations> {
        network.validate()?;
        let arch = network.arch;
        let mut builder = Builder::new(network.channels, arch.family().image_side());
        let divided = |width: usize| width / arch.width_divisor();
        match arch.family() {
            Family::Dnn => dnn::build(&mut builder, divided),
            Family::Vgg11 => vgg::build(&mut builder, divided, &vgg::VGG11),
            Family::Vgg19 => vgg::build(&mut builder, divided, &vgg::VGG19),
            Family::ResNet18 => resnet::build(&mut builder, divided, &resnet::RESNET18),
            Family::PreActResNet18 => preact_resnet::build(&mut builder, divided),
            Family::ResNet50 => resnet::build(&mut builder, divided, &resnet::RESNET50),
            Family::ResNet50ImageNet => resnet::build(&mut builder, divided, &resnet::RESNET50_IMAGENET),
            Family::AlexNet => alexnet::build(&mut builder, divided),
            Family::Vgg16 => vgg16::build(&mut builder, divided),
        }
        head(&mut builder, network);
        Ok(Self { network: network.clone(), layers: builder.layers })
    }

    /// The name of the layer that yields the logits, in a family.
    pub fn classifier(family: Family) -> &'static str {
        match family {
            Family::Dnn | Family::Vgg11 | Family::Vgg19 => "classifier",
            Family::ResNet18 | Family::PreActResNet18 | Family::ResNet50 => "linear",
            Family::AlexNet => "last_layer",
            Family::ResNet50ImageNet => "fc",
            Family::Vgg16 => "classifier.6",
        }
    }

    /// The name of the first layer, which takes the image, in a family.
    pub fn first(family: Family) -> &'static str {
        match family {
            Family::Dnn | Family::Vgg11 | Family::Vgg19 | Family::AlexNet | Family::Vgg16 => "features.0",
            Family::ResNet18 | Family::PreActResNet18 | Family::ResNet50 | Family::ResNet50ImageNet => "conv1",
        }
    }

    /// The name of the adapter, in every family.
    pub const ADAPTER: &str = "added_linear";

    /// Every entry of the `state_dict`, in PyTorch's order.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.layers.iter().flat_map(|layer| &layer.tensors)
    }

    /// Numbers that training moves along the gradient.
    pub fn parameters(&self) -> u64 {
        self.layers.iter().map(Layer::parameters).sum()
    }

    /// Multiply-adds of one image's forward pass.
    pub fn multiply_adds(&self) -> u64 {
        self.layers.iter().map(|layer| layer.multiply_adds).sum()
    }
}

/// What follows the features: the adapter, where there is one, and the classifier.
fn head(builder: &mut Builder, network: &NetworkSpec) {
    let family = network.arch.family();
    if network.has_adapter() {
        builder.linear(Anatomy::ADAPTER, network.representation_width, After::Nothing);
    }
    if family == Family::Vgg16 {
        builder.dropout("classifier.5");
    }
    builder.linear(Anatomy::classifier(family), network.classes, After::Nothing);
}

#[cfg(test)]
mod tests {
    use rrm_spec::{Arch, Normalization};

    use super::*;
    use crate::Shape;

    fn spec(arch: &str) -> NetworkSpec {
        let arch: Arch = arch.parse().unwrap();
        let classes = if arch.family().image_side() == 32 { 10 } else { 9 };
        let (normalization, representation_width) = (Normalization::Identity, arch.representation_width());
        NetworkSpec { arch, channels: 3, classes, normalization, representation_width, temperature: 1.0 }
    }

    #[test]
    fn the_features_are_as_wide_as_the_architecture_says() {
        for family in Family::ALL {
            for divisor in Arch::DIVISORS {
                let spec = spec(&Arch::new(family, divisor).unwrap().to_string());
                let spec = NetworkSpec { representation_width: spec.arch.feature_width(), ..spec };
                let anatomy = Anatomy::of(&spec).unwrap();
                let [.., before, last] = anatomy.layers.as_slice() else { panic!("{spec:?}") };
                assert_eq!(before.output.elements(), spec.arch.feature_width(), "{}", spec.arch);
                assert_eq!(
                    (last.name.as_str(), last.output),
                    (Anatomy::classifier(family), Shape::Vector(spec.classes))
                );
                assert_eq!(anatomy.layers[0].name, Anatomy::first(family));
            }
        }
    }

    #[test]
    fn multiply_adds_are_those_that_pytorch_counts() {
        // Half of what torch.utils.flop_counter counts of tests/golden/generate.py's networks, one image forward.
        for (arch, multiply_adds) in [
            ("dnn", 39_687_168),
            ("vgg11", 152_769_536),
            ("vgg19", 398_136_320),
            ("resnet18", 555_422_720),
            ("resnet18/4", 35_046_656),
            ("preactresnet18", 555_422_720),
            ("preactresnet18/4", 35_046_656),
            ("resnet50", 1_298_863_104),
            ("alexnet", 701_722_304),
            ("resnet50-imagenet", 4_087_154_688),
            ("vgg16", 15_457_798_144),
        ] {
            assert_eq!(Anatomy::of(&spec(arch)).unwrap().multiply_adds(), multiply_adds, "{arch}");
        }
    }

    #[test]
    fn an_adapter_costs_its_weights() {
        let with = Anatomy::of(&spec("resnet50")).unwrap();
        let without = Anatomy::of(&NetworkSpec { representation_width: 2048, ..spec("resnet50") }).unwrap();
        // Digest §1.2: the authors' network and MadryLab's.
        assert_eq!((with.parameters(), without.parameters()), (24_554_570, 23_520_842));
        assert_eq!(with.multiply_adds() - without.multiply_adds(), 2048 * 512 + 512 * 10 - 2048 * 10);
    }

    #[test]
    fn an_impossible_network_is_refused_with_all_its_faults() {
        let faults = Anatomy::of(&NetworkSpec { classes: 0, channels: usize::MAX, ..spec("dnn") }).unwrap_err();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["channels", "classes"]);
    }
}
