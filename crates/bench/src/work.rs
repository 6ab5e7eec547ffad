//! How many multiplications and additions a step takes, counted from the networks' shapes (digest §1.2 and §1.3).
//!
//! Convolutions and linear layers count, dense: padding's zeros included, and as if no algorithm saved any. Batch-norm,
//! pooling and the optimiser's step are a hundredth of it.

use crate::plan::Mode;

/// Multiply-adds per image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultiplyAdds {
    /// Of a forward pass.
    pub forward: u64,
    /// Of its first convolution.
    pub stem: u64,
}

impl MultiplyAdds {
    /// Of a network such as `resnet18/4`; `None` where the name is not known.
    pub fn of(arch: &str) -> Option<Self> {
        let (name, divisor) = match arch.split_once('/') {
            Some((name, divisor)) => (name, divisor.parse().ok()?),
            None => (arch, 1),
        };
        let plan = |widths: &[u64]| widths.iter().map(|width| width / divisor).collect::<Vec<_>>();
        let counter = match name {
            "dnn" => Counter::new(32).vgg(&plan(&DNN)).linear(512 / divisor).linear(10),
            "vgg11" => Counter::new(32).vgg(&plan(&VGG11)).linear(10),
            "vgg19" => Counter::new(32).vgg(&plan(&VGG19)).linear(10),
            "resnet18" => Counter::new(32).conv(64 / divisor, 3, 1).basic_stages(divisor).pool_whole().linear(10),
            "resnet50" => {
                let backbone = Counter::new(32).conv(64 / divisor, 3, 1).bottleneck_stages(divisor);
                backbone.pool_whole().linear(512 / divisor).linear(10)
            }
            "alexnet" => Counter::new(224).alexnet(divisor).linear(4096 / divisor).linear(2048 / divisor).linear(9),
            "vgg16" => {
                let backbone = Counter::new(224).vgg(&plan(&VGG16));
                backbone.linear(4096 / divisor).linear(2048 / divisor).linear(9)
            }
            "resnet50-imagenet" => {
                let stem = Counter::new(224).conv(64 / divisor, 7, 2).pool();
                stem.bottleneck_stages(divisor).pool_whole().linear(9)
            }
            _ => return None,
        };
        Some(Self { forward: counter.total, stem: counter.stem })
    }

    /// Floating-point operations of a step per image: a multiply-add is two.
    ///
    /// Training passes over each layer three times (forward, to the input, to the weights), but asks for no gradient of the
    /// image; an attack passes twice.
    pub fn operations(self, mode: Mode) -> u64 {
        2 * match mode {
            Mode::Train => 3 * self.forward - self.stem,
            Mode::Attack => 2 * self.forward,
            Mode::Eval => self.forward,
        }
    }
}

/// Stands for a pooling by 2 in a list of widths.
const POOL: u64 = 0;
const DNN: [u64; 9] = [32, 32, POOL, 64, 64, POOL, 128, 128, POOL];
const VGG11: [u64; 13] = [64, POOL, 128, POOL, 256, 256, POOL, 512, 512, POOL, 512, 512, POOL];
const VGG16: [u64; 18] = [64, 64, POOL, 128, 128, POOL, 256, 256, 256, POOL, 512, 512, 512, POOL, 512, 512, 512, POOL];
const VGG19: [u64; 21] =
    [64, 64, POOL, 128, 128, POOL, 256, 256, 256, 256, POOL, 512, 512, 512, 512, POOL, 512, 512, 512, 512, POOL];

/// Walks through a network, with the shape of the activation that it is at.
#[derive(Clone, Copy)]
struct Counter {
    side: u64,
    channels: u64,
    total: u64,
    stem: u64,
}

impl Counter {
    /// At RGB images.
    fn new(side: u64) -> Self {
        Self { side, channels: 3, total: 0, stem: 0 }
    }

    /// A convolution with the padding that keeps the side, but for its stride.
    fn conv(mut self, width: u64, kernel: u64, stride: u64) -> Self {
        self.side = self.side.div_ceil(stride);
        self.add(width * self.side * self.side * self.channels * kernel * kernel);
        self.channels = width;
        self
    }

    fn linear(mut self, width: u64) -> Self {
        self.add(width * self.channels * self.side * self.side);
        (self.channels, self.side) = (width, 1);
        self
    }

    fn add(&mut self, multiply_adds: u64) {
        if self.total == 0 {
            self.stem = multiply_adds;
        }
        self.total += multiply_adds;
    }

    fn pool(mut self) -> Self {
        self.side = self.side.div_ceil(2);
        self
    }

    /// AlexNet's pooling: 3×3 windows at every second place, no padding.
    fn pool_inside(mut self) -> Self {
        self.side = (self.side - 3) / 2 + 1;
        self
    }

    fn pool_whole(mut self) -> Self {
        self.side = 1;
        self
    }

    fn vgg(self, widths: &[u64]) -> Self {
        widths.iter().fold(self, |at, &width| if width == POOL { at.pool() } else { at.conv(width, 3, 1) })
    }

    fn alexnet(mut self, divisor: u64) -> Self {
        // 11×11, stride 4, padding 2: (224 + 4 - 11) / 4 + 1 places.
        (self.side, self.channels) = (55, 3);
        self = self.conv(64 / divisor, 11, 1).pool_inside().conv(192 / divisor, 5, 1).pool_inside();
        self.conv(384 / divisor, 3, 1).conv(256 / divisor, 3, 1).conv(256 / divisor, 3, 1).pool_inside()
    }

    fn basic_stages(self, divisor: u64) -> Self {
        self.stages([2; 4], divisor, 1, |at, width, stride| at.conv(width, 3, stride).conv(width, 3, 1))
    }

    fn bottleneck_stages(self, divisor: u64) -> Self {
        let block = |at: Self, width, stride| at.conv(width, 1, 1).conv(width, 3, stride).conv(4 * width, 1, 1);
        self.stages([3, 4, 6, 3], divisor, 4, block)
    }

    /// Four stages of residual blocks, each of the latter three at half the side.
    fn stages(self, counts: [u64; 4], divisor: u64, expansion: u64, block: impl Fn(Self, u64, u64) -> Self) -> Self {
        let mut at = self;
        for (stage, count) in counts.into_iter().enumerate() {
            let width = (64 << stage) / divisor;
            for index in 0..count {
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let shortcut = if stride > 1 || at.channels != expansion * width {
                    at.conv(expansion * width, 1, stride).total - at.total
                } else {
                    0
                };
                at = block(at, width, stride);
                at.total += shortcut;
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_that_hooks_on_the_python_peers_layers_give() {
        let counts = [
            ("dnn", 39_687_168),
            ("vgg11", 152_769_536),
            ("vgg19", 398_136_320),
            ("resnet18", 555_422_720),
            ("resnet50", 1_298_863_104),
            ("alexnet", 701_722_304),
            ("vgg16", 15_457_798_144),
            ("resnet50-imagenet", 4_087_154_688),
            ("resnet18/4", 35_046_656),
            ("dnn/4", 2_647_296),
            ("alexnet/4", 57_038_000),
            ("vgg16/4", 982_372_864),
            ("resnet50-imagenet/8", 76_771_584),
        ];
        for (arch, count) in counts {
            assert_eq!(MultiplyAdds::of(arch).unwrap().forward, count, "{arch}");
        }
    }

    #[test]
    fn training_passes_three_times_but_never_back_to_the_image() {
        let network = MultiplyAdds { forward: 100, stem: 10 };
        assert_eq!(Mode::ALL.map(|mode| network.operations(mode)), [580, 400, 200]);
        assert_eq!(MultiplyAdds::of("dnn").unwrap().stem, 32 * 32 * 32 * 27);
    }

    #[test]
    fn networks_that_there_are_not_have_no_count() {
        for name in ["resnet", "resnet18/x", ""] {
            assert_eq!(MultiplyAdds::of(name), None);
        }
    }
}
