//! Results that are written once, in parallel, into memory that nobody cleared before.
//!
//! Clearing 30 MB before writing them costs as much as many an operation itself.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use crate::element::Element;

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
