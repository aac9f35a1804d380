//! Measurements of the control plane alone, in memory and on the server's heap: `cargo xtask bench --only scale|place|size`
//! runs them.

// Its test is run where it stands.
#[cfg_attr(test, allow(unused_imports))]
#[path = "../../../../xtask/src/bench/gauge.rs"]
mod gauge;
#[path = "../../src/heap.rs"]
mod heap;
mod place;
mod scale;
mod size;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    heap::give_back_in_background();
    // cargo adds a flag of its own.
    match std::env::args().skip(1).find(|argument| !argument.starts_with('-')).as_deref() {
        Some("scale") => scale::measure(),
        Some("place") => {
            place::measure();
            Ok(())
        }
        Some("size") => size::measure(),
        other => bail!("scale, place or size, not {other:?}"),
    }
}
