//! `cargo xtask ci`: everything that must hold before a change is taken. The cheap checks come first. One profile for all:
//! what is built for one is there for the next.

use crate::command::{cargo, run};
use crate::{demo, packages, test, vm};
use anyhow::Result;

/// Runs every check; the first that fails ends it.
pub fn ci() -> Result<()> {
    packages::ensure(packages::TO_BUILD)?;
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    run(&mut cargo(&["xtask", "codegen", "--check"]))?;
    run(&mut cargo(&["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    test::test(&test::Arguments::default())?;
    vm::vm(&vm::Arguments::default())?;
    demo::demo(&demo::Arguments::once())
}
