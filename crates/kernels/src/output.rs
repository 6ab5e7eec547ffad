//! Results that are written once, in parallel, into memory that nobody cleared before.
//!
//! Clearing 30 MB before writing them costs as much as many an operation itself.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use crate::element::Element;
use crate::scratch::ALIGNMENT;

/// A vector of `len` numbers, all of which `write` writes.
///
/// # Safety
/// `write` must write every number.
pub(crate) unsafe fn written<T: Copy>(len: usize, write: impl FnOnce(&mut [MaybeUninit<T>])) -> Vec<T> {
    let mut numbers = Vec::with_capacity(len);
    write(&mut numbers.spare_capacity_mut()[..len]);
    // SAFETY: the capacity is there, and the caller guarantees that all numbers are written.
    unsafe { numbers.set_len(len) };
    numbers
}

/// Numbers from a multiple of 64 bytes on, as [working memory](crate::scratch) has them.
pub(crate) struct Aligned {
    /// Never grows, and so stays where it is.
    numbers: Vec<f32>,
    start: usize,
}

impl Aligned {
    /// `len` numbers, all of which `write` writes.
    ///
    /// # Safety
    /// `write` must write every number.
    pub(crate) unsafe fn written(len: usize, write: impl FnOnce(&mut [MaybeUninit<f32>])) -> Self {
        let mut numbers = Vec::<f32>::with_capacity(len + ALIGNMENT / size_of::<f32>());
        let start = numbers.as_ptr().align_offset(ALIGNMENT);
        let (before, rest) = numbers.spare_capacity_mut().split_at_mut(start);
        before.fill(MaybeUninit::new(0.0));
        write(&mut rest[..len]);
        // SAFETY: the capacity is there; the first numbers are written, and the caller guarantees the others.
        unsafe { numbers.set_len(start + len) };
        Self { numbers, start }
    }
}

impl std::ops::Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.numbers[self.start..]
    }
}

/// Written numbers, seen as ones that may be overwritten.
pub(crate) fn overwritable<T: Copy>(numbers: &mut [T]) -> &mut [MaybeUninit<T>] {
    // SAFETY: the layouts are the same; only `MaybeUninit::uninit()` could spoil a number, and no kernel writes that.
    unsafe { &mut *(std::ptr::from_mut(numbers) as *mut [MaybeUninit<T>]) }
}

/// Zeros, to be added to.
pub(crate) fn cleared<T: Element>(numbers: &mut [MaybeUninit<T>]) -> &mut [T] {
    numbers.fill(MaybeUninit::new(T::ZERO));
    // SAFETY: every number was just written.
    unsafe { numbers.assume_init_mut() }
}

/// A slice whose planes are handed out to tasks in an order of the caller's.
pub(crate) struct Shared<'a, T> {
    first: *mut MaybeUninit<T>,
    len: usize,
    slice: PhantomData<&'a mut [MaybeUninit<T>]>,
}

// SAFETY: it only hands out slices that, by the contract of `plane`, never overlap.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(slice: &'a mut [MaybeUninit<T>]) -> Self {
        Self { first: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// The numbers `start..start + len`.
    ///
    /// # Safety
    /// No other task may hold any of them.
    pub(crate) unsafe fn plane(&self, start: usize, len: usize) -> &'a mut [MaybeUninit<T>] {
        assert!(start + len <= self.len);
        // SAFETY: inside the slice by the assert, and unaliased by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(start), len) }
    }

    /// Where number `start` lies, for kernels that write strided numbers of their own.
    pub(crate) fn pointer(&self, start: usize) -> *mut T {
        assert!(start <= self.len);
        self.first.wrapping_add(start).cast()
    }
}
