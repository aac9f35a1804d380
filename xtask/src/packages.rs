//! Packages of the operating system: which are needed, which are missing, and Debian packages unpacked beside the system
//! without installing them. Installs only as root; anybody else is told what to type.

use crate::command::{is_root, output, run};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the build needs beside Rust.
pub const TO_BUILD: &[&str] = &["gcc", "libc6-dev", "libseccomp-dev", "make", "pkg-config"];
/// What the tests need on top.
pub const TO_TEST: &[&str] = &[
    "awscli",
    "busybox-static",
    "ca-certificates",
    "e2fsprogs",
    "iproute2",
    "mount",
    "nftables",
    "python3",
    "python3-venv",
];

/// Installs those of `packages` that are missing.
pub fn ensure(packages: &[&str]) -> Result<()> {
    if !has_program("dpkg-query") {
        eprintln!("this system has no dpkg; on Debian it would need: {}", packages.join(" "));
        return Ok(());
    }
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() {
        bail!("packages are missing; type: sudo apt-get install -y --no-install-recommends {}", missing.join(" "));
    }
    update()?;
    let install = ["install", "-y", "--no-install-recommends"];
    run(apt_get().args(install).args(missing))
}

fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f", "${db:Status-Status}\n", package]).stderr(Stdio::null());
    query.output().is_ok_and(|told| String::from_utf8_lossy(&told.stdout).lines().any(|line| line == "installed"))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn update() -> Result<()> {
    run(apt_get().arg("update").arg("-q"))
}

/// Fetches packages of the host's distribution and unpacks them over each other into `directory`. Nothing is installed.
pub fn unpack(packages: &BTreeSet<String>, directory: &Path) -> Result<()> {
    if !has_program("apt-get") {
        bail!("Debian packages are needed, and this system has no apt-get");
    }
    let archives = directory.with_extension("debs");
    recreate(&archives)?;
    recreate(directory)?;
    let download = || run(apt_get().current_dir(&archives).arg("-q").arg("download").args(packages));
    if let Err(error) = download() {
        if !is_root() {
            return Err(error.context("type: sudo apt-get update, and try again"));
        }
        update()?;
        download()?;
    }
    let fetched = files(&archives)?;
    if fetched.len() != packages.len() {
        bail!("apt-get fetched {} of the {} packages asked for", fetched.len(), packages.len());
    }
    for archive in fetched {
        extract(&archive, directory)?;
    }
    fs::remove_dir_all(&archives).with_context(|| format!("cannot remove {}", archives.display()))
}

/// `dpkg-deb -x` would put a directory where an earlier package has a link to one.
fn extract(archive: &Path, directory: &Path) -> Result<()> {
    let mut reader = Command::new("dpkg-deb").arg("--fsys-tarfile").arg(archive).stdout(Stdio::piped()).spawn()?;
    let bytes = reader.stdout.take().context("no pipe")?;
    let mut tar = Command::new("tar");
    tar.args(["-x", "--keep-directory-symlink", "--no-same-owner", "-C"]).arg(directory).stdin(Stdio::from(bytes));
    let (unpacked, read) = (tar.status()?, reader.wait()?);
    if !unpacked.success() || !read.success() {
        bail!("cannot unpack {}", archive.display());
    }
    Ok(())
}

fn recreate(directory: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

/// The packages of the libraries that a package's programs link, and of those that these link.
pub fn libraries(package: &str) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    let mut waiting = vec![package.to_owned()];
    while let Some(package) = waiting.pop() {
        let is_library = |name: &String| name.starts_with("lib") || name.starts_with("zlib");
        for name in depends(&package)?.into_iter().filter(is_library) {
            if all.insert(name.clone()) {
                waiting.push(name);
            }
        }
    }
    Ok(all)
}

fn depends(package: &str) -> Result<Vec<String>> {
    let show = || output(Command::new("apt-cache").args(["show", "--no-all-versions", package]));
    let text = match show() {
        Err(_) if is_root() => {
            update()?;
            show()?
        }
        shown => shown?,
    };
    Ok(depends_in(&text))
}

/// The package with a prefix on which a package without content of its own depends: the newest of its kind.
pub fn latest_dependency(package: &str, prefix: &str) -> Result<String> {
    let named = depends(package)?.into_iter().find(|name| name.starts_with(prefix));
    named.with_context(|| format!("{package} depends on no {prefix}"))
}

/// The names in the dependency fields; of alternatives the first.
fn depends_in(text: &str) -> Vec<String> {
    let fields =
        text.lines().filter_map(|line| line.strip_prefix("Depends: ").or_else(|| line.strip_prefix("Pre-Depends: ")));
    let name = |item: &str| item.trim().split([' ', ':', '|']).next().unwrap_or_default().to_owned();
    fields.flat_map(|field| field.split(',').map(name)).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_names_without_versions() {
        let text =
            "Package: x\nDepends: libc6 (>= 2.34), zlib1g:any, a | b (<< 1)\nPre-Depends: libgcc-s1\nRecommends: y\n";
        assert_eq!(depends_in(text), ["libc6", "zlib1g", "a", "libgcc-s1"]);
    }

    #[test]
    fn what_is_missing_is_seen() {
        assert!(!is_installed("no-such-package-of-anybody"));
        assert!(has_program("sh"));
    }
}
