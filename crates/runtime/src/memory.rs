//! The memory of this process.

/// Gives what a burst of work has left free back to the system: the C library keeps it otherwise, in an arena for each
/// thread. Takes a few milliseconds; for moments in which nobody waits.
#[allow(unsafe_code)]
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer, and locks the arenas itself.
    unsafe {
        libc::malloc_trim(0);
    }
}
