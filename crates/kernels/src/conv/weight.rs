//! A convolution's weight, and the forms that algorithms bring it into before they multiply.
//!
//! Packing or transforming a weight costs the same for one image as for a thousand. A weight that many passes find unchanged, as
//! an attack's do, has a place for its forms.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::shape::ConvShape;
use crate::simd::Isa;

/// A weight (O, C, k, k), and maybe the place for its forms.
#[derive(Clone, Copy)]
pub(crate) struct Weight<'a, T> {
    pub(crate) numbers: &'a [T],
    forms: Option<&'a Forms>,
}

impl<'a, T> Weight<'a, T> {
    /// A weight that the next pass may find changed, or one that stays as it is as long as `forms`.
    pub(crate) fn new(numbers: &'a [T], forms: Option<&'a Forms>) -> Self {
        Self { numbers, forms }
    }

    /// A weight that the next pass may find changed.
    pub(crate) fn passing(numbers: &'a [T]) -> Self {
        Self::new(numbers, None)
    }

    /// Whether what is made of it is kept.
    pub(crate) fn lasts(&self) -> bool {
        self.forms.is_some()
    }

    /// The form that `make` brings the weight into for `purpose` on `isa`, made now unless it was kept.
    ///
    /// It may depend on all sizes of `s` but the number of images.
    pub(crate) fn form<F>(&self, purpose: Purpose, isa: Isa, s: &ConvShape, make: impl FnOnce() -> F) -> Arc<F>
    where
        F: Any + Send + Sync,
    {
        let Some(forms) = self.forms else { return Arc::new(make()) };
        let key = Key { form: TypeId::of::<F>(), purpose, isa, shape: ConvShape { images: 0, ..*s } };
        match forms.find(&key) {
            Some(form) => form,
            None => forms.keep(key, make()),
        }
    }
}

/// The pass that reads a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    Forward,
    InputGradient,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    form: TypeId,
    purpose: Purpose,
    isa: Isa,
    shape: ConvShape,
}

/// The place for a weight's forms.
#[derive(Default)]
pub(crate) struct Forms(Mutex<HashMap<Key, Arc<dyn Any + Send + Sync>>>);

impl Forms {
    fn find<F: Any + Send + Sync>(&self, key: &Key) -> Option<Arc<F>> {
        let form = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()?;
        Some(form.downcast().expect("the key names the form's type"))
    }

    /// Nobody waits for a form that another thread is making: that thread might wait for this one's work.
    fn keep<F: Any + Send + Sync>(&self, key: Key, form: F) -> Arc<F> {
        let form = Arc::new(form);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, form.clone());
        form
    }
}

impl std::fmt::Debug for Forms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("Forms").field("kept", &kept).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lasting_weights_form_is_made_once_for_a_pass_and_a_shape() {
        let (forms, isa) = (Forms::default(), Isa::Portable);
        let weight = Weight::new(&[1.0f32], Some(&forms));
        let small = ConvShape::of_pixels(1, 4, 4);
        let make = |form: usize| move || form;
        assert_eq!(*weight.form(Purpose::Forward, isa, &small, make(1)), 1);
        assert_eq!(*weight.form(Purpose::Forward, isa, &small, make(2)), 1);
        assert_eq!(*weight.form(Purpose::Forward, isa, &ConvShape { images: 9, ..small }, make(3)), 1);
        assert_eq!(*weight.form(Purpose::InputGradient, isa, &small, make(4)), 4);
        assert_eq!(*weight.form(Purpose::Forward, isa, &ConvShape { height: 2, ..small }, make(5)), 5);
        assert_eq!(*Weight::passing(&[1.0f32]).form(Purpose::Forward, isa, &small, make(6)), 6);
    }
}
