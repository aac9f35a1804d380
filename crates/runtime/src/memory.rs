//! The memory of this process that is the C library's: what code in C takes, and all of it in a program without a heap of
//! its own.

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

/// Has the C library keep two arenas instead of eight for each core: what one thread frees another then takes, and less
/// lies in pieces after a burst. To be called before the first thread is made.
#[allow(unsafe_code)]
pub fn few_arenas() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}
