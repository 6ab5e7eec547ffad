//! The differentiable convolution as Candle sees it.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use super::passes::{self, Passes};
use super::shape::ConvShape;
use crate::element::{by_element, dtype, numbers, stored};
use crate::epilogue::{Activation, Finish};

/// Convolution of (x, weight) or (x, weight, bias), all of which may be tracked.
pub(crate) struct Conv2d {
    pub(crate) shape: ConvShape,
}

type Operand<'a> = (&'a CpuStorage, &'a Layout);

impl Conv2d {
    fn forward(&self, x: Operand<'_>, weight: Operand<'_>, bias: Option<Operand<'_>>) -> Result<(CpuStorage, Shape)> {
        let s = &self.shape;
        let out = by_element!(dtype(x.0), "conv2d", T => {
            let bias = bias.map(|(storage, layout)| numbers::<T>(storage, layout)).transpose()?;
            let finish = Finish { bias, residual: None, activation: Activation::Identity };
            stored(<T as Passes>::forward(s, numbers(x.0, x.1)?, numbers(weight.0, weight.1)?, finish))
        });
        Ok((out, (s.images, s.out_channels, s.out_height(), s.out_width()).into()))
    }

    fn backward(&self, x: &Tensor, weight: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dx = x.track_op().then(|| passes::input_gradient(&self.shape, weight, gradient)).transpose()?;
        let dw = weight.track_op().then(|| passes::weight_gradient(&self.shape, x, gradient)).transpose()?;
        Ok((dx, dw))
    }
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward((x, xl), (w, wl), None)
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.backward(x, w, &gradient.contiguous()?)
    }
}

impl CustomOp3 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((x, xl), (w, wl), Some((b, bl)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let (dx, dw) = self.backward(x, w, &gradient)?;
        let db = b.track_op().then(|| passes::bias_gradient(&self.shape, &gradient)).transpose()?;
        Ok((dx, dw, db))
    }
}
