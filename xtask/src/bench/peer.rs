//! The peer: `docker run -d` on its default bridge network, where a Docker engine answers; else it is said that none does.

use super::gauge::Figures;
use anyhow::Result;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Measures `docker run -d` of the same image, if it can be, and compares the medians with `ours`.
pub fn docker(image: &Path, tasks: usize, ours: &Figures) -> Result<()> {
    let quiet = |arguments: &[&str]| {
        let mut command = Command::new("docker");
        command.args(arguments).stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
    };
    if !quiet(&["info"]) {
        println!("peer: NOT RUN: docker (no engine answers on this machine)");
        return Ok(());
    }
    let path = image.to_string_lossy();
    if !quiet(&["load", "--input", &path]) {
        println!("peer: NOT RUN: docker (it does not load the image)");
        return Ok(());
    }
    let mut figures = Figures::default();
    for n in 0..tasks + 2 {
        let name = format!("gantry-bench-{}-{n}", std::process::id());
        let began = Instant::now();
        let ran = quiet(&["run", "-d", "--name", &name, "busybox", "sleep", "1000"]);
        let ms = began.elapsed().as_secs_f64() * 1000.0;
        quiet(&["rm", "--force", &name]);
        if !ran {
            println!("peer: NOT RUN: docker (docker run fails)");
            return Ok(());
        }
        if n >= 2 {
            figures.push(ms);
        }
    }
    println!("peer: docker run -d, bridge network: {figures} ms");
    println!(
        "ratio of the medians, RunTask to RUNNING in the server / docker run -d: {:.3}",
        ours.quantile(0.5) / figures.quantile(0.5)
    );
    Ok(())
}
