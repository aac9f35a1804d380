//! The heap: jemalloc, which takes a third less time for what a request needs than the C library's, and gives back what a
//! burst has left without being asked. SQLite, zstd and others in C keep to the C library's.

#![allow(unsafe_code)]

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static HEAP: Jemalloc = Jemalloc;

/// One arena, as the server is small: what one thread frees another then takes. What is free for a fifth of a second goes back
/// to the system. Threads keep only small pieces for themselves.
// SAFETY: jemalloc reads a C string by this name before main, and nothing writes it.
#[unsafe(export_name = "_rjem_malloc_conf")]
#[used]
static CONFIGURATION: &[u8; 62] = b"narenas:1,dirty_decay_ms:200,muzzy_decay_ms:0,tcache_max:4096\0";

/// Has a thread of jemalloc's own give back what is free, as threads that rest do not. Not for the hidden programs, which
/// have one thread.
pub fn give_back_in_background() {
    // Without it, memory is given back when its thread works again.
    let _ = tikv_jemalloc_ctl::background_thread::write(true);
}
