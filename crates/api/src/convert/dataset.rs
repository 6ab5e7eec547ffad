//! Image collections and networks.

use rrm_spec::{Arch, Dataset, DatasetName, Family};

use super::{OnWire, Reader, wire_enum};
use crate::wire;

wire_enum!(Augmentation { None => None, Light => Light, Heavy => Heavy, ImageNet => Imagenet });
wire_enum!(Normalization {
    Cifar10Madry => Cifar10Madry,
    Cifar10Fast => Cifar10Fast,
    FashionMnist => FashionMnist,
    Identity => Identity,
    Cifar100 => Cifar100,
    Svhn => Svhn,
    RestrictedImageNet => RestrictedImagenet,
    ImageNet => Imagenet,
});
wire_enum!(Family {
    Dnn => Dnn,
    Vgg11 => Vgg11,
    ResNet18 => Resnet18,
    Vgg19 => Vgg19,
    ResNet50 => Resnet50,
    AlexNet => Alexnet,
    ResNet50ImageNet => Resnet50Imagenet,
    Vgg16 => Vgg16,
    PreActResNet18 => PreactResnet18,
});

impl OnWire for Dataset {
    type Wire = wire::Dataset;

    fn to_wire(self) -> Self::Wire {
        let Self { name, train_images } = self;
        wire::Dataset { name: Some(name.to_wire()), train_images: train_images.map(OnWire::to_wire) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Dataset { name, train_images } = wire;
        let name = reader.required("name", name);
        let train_images = reader.optional("train_images", train_images);
        Some(Self { name: name?, train_images: train_images? })
    }
}

impl OnWire for DatasetName {
    type Wire = wire::DatasetName;

    fn to_wire(self) -> Self::Wire {
        use wire::dataset_name::Name;
        let name = match self {
            Self::Cifar10 => Name::Cifar10(wire::Cifar10 {}),
            Self::Cifar100 => Name::Cifar100(wire::Cifar100 {}),
            Self::Svhn => Name::Svhn(wire::Svhn {}),
            Self::FashionMnist => Name::FashionMnist(wire::FashionMnist {}),
            Self::RestrictedImageNet => Name::RestrictedImagenet(wire::RestrictedImageNet {}),
            Self::Folder(folder) => Name::Folder(folder),
        };
        wire::DatasetName { name: Some(name) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        use wire::dataset_name::Name;
        let wire::DatasetName { name } = wire;
        match name {
            Some(Name::Cifar10(wire::Cifar10 {})) => Some(Self::Cifar10),
            Some(Name::Cifar100(wire::Cifar100 {})) => Some(Self::Cifar100),
            Some(Name::Svhn(wire::Svhn {})) => Some(Self::Svhn),
            Some(Name::FashionMnist(wire::FashionMnist {})) => Some(Self::FashionMnist),
            Some(Name::RestrictedImagenet(wire::RestrictedImageNet {})) => Some(Self::RestrictedImageNet),
            // Through the parser, which refuses paths that lead out of the data directory.
            Some(Name::Folder(folder)) => reader.parse(&format!("folder:{folder}")),
            None => reader.missing(),
        }
    }
}

impl OnWire for Arch {
    type Wire = wire::Arch;

    fn to_wire(self) -> Self::Wire {
        let divisor = u32::try_from(self.width_divisor()).expect("divisors are small");
        wire::Arch { family: self.family().to_wire(), width_divisor: divisor }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Arch { family, width_divisor } = wire;
        let family: Option<Family> = reader.field("family", family);
        let known = Self::DIVISORS.contains(&width_divisor);
        let divisor = match known {
            true => Some(width_divisor),
            false => reader.at("width_divisor").refuse(width_divisor, "must be 1, 2, 4, 8 or 16"),
        };
        Self::new(family?, divisor?)
    }
}
