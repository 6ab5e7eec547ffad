//! Where tensors lie, and keeping the pages of freed ones.

use std::alloc::{GlobalAlloc, Layout, System};

/// Tells glibc's allocator to keep freed memory instead of returning it to the system; call it once at process start.
///
/// A training step frees and allocates the same large tensors again and again; by default glibc maps each of them anew,
/// and the page faults cost a third of the step. No effect with other allocators.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// Larger than any tensor of a step.
        const MMAP_THRESHOLD: libc::c_int = 1 << 30;
        // SAFETY: mallopt only sets parameters of the allocator, which locks itself while doing so.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        }
    }
}

/// The system's allocator, but for large blocks, which start at cache lines: a program that trains on CPUs makes it its global allocator.
///
/// The C library aligns a tensor to 16 bytes. Then most vectors of 64 straddle two cache lines; and where planes are a power of two
/// apart, each line is gone from the first-level cache before its other half is read. A training step takes about a tenth less time with
/// it.
#[derive(Clone, Copy, Debug, Default)]
pub struct CacheLines;

impl CacheLines {
    /// Blocks from this size on are large: smaller ones would waste a good part of a line.
    const LARGE: usize = 4096;

    /// How the system is asked for a block.
    fn wide(layout: Layout) -> Layout {
        const LINE: usize = 64;
        if layout.size() < Self::LARGE {
            return layout;
        }
        layout.align_to(LINE).unwrap_or(layout)
    }
}

// SAFETY: every block is the system's, of the asked size and at least the asked alignment; a block is returned with the layout that it was
// asked with, since that depends on nothing but the caller's layout.
unsafe impl GlobalAlloc for CacheLines {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise; the size is the same.
        unsafe { System.alloc(Self::wide(layout)) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise; the block was asked for with this layout.
        unsafe { System.dealloc(block, Self::wide(layout)) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise; the size is the same.
        unsafe { System.alloc_zeroed(Self::wide(layout)) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if layout.size().max(new_size) < Self::LARGE {
            // SAFETY: the caller's promise; small blocks are asked for as the caller asks.
            return unsafe { System.realloc(block, layout, new_size) };
        }
        // The system would forget the alignment.
        // SAFETY: the caller promises that the size is not zero and does not overflow, rounded up to the alignment; both blocks hold what
        // is copied, and are two.
        unsafe {
            let grown = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !grown.is_null() {
                std::ptr::copy_nonoverlapping(block, grown, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            grown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_blocks_start_at_cache_lines_and_keep_their_content_when_they_grow() {
        for size in [1, 100, 4095, 4096, 5000, 1 << 20] {
            let layout = Layout::array::<u8>(size).unwrap();
            // SAFETY: the sizes are not zero; blocks are read where they were written, and returned with their layouts.
            unsafe {
                let block = CacheLines.alloc_zeroed(layout);
                assert!(size < 4096 || block.addr().is_multiple_of(64));
                assert_eq!(block.add(size - 1).read(), 0);
                block.write(7);
                let grown = CacheLines.realloc(block, layout, 3 * size);
                assert!(3 * size < 4096 || grown.addr().is_multiple_of(64));
                assert_eq!(grown.read(), 7);
                CacheLines.dealloc(grown, Layout::array::<u8>(3 * size).unwrap());
            }
        }
    }
}
