//! Container images made of Debian packages, for machines that reach no registry: busybox, and nginx with what it links.
//! The packages are unpacked beside the system, never installed.

use crate::archive::{Image, pack};
use crate::command::output;
use crate::packages::{libraries, unpack};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Raised when a recipe here changes, so that images of an older one are not used.
const RECIPES: &str = "images-1";

const NGINX: &str = "\
user www-data;
worker_processes 1;
error_log /dev/stderr notice;
pid /run/nginx.pid;
events { worker_connections 1024; }
http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log /dev/stdout;
    server {
        listen 80;
        location / { root /usr/share/nginx/html; index index.html; }
    }
}
";
const USERS: &str = "\
root:x:0:0:root:/root:/bin/sh
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
";
const GROUPS: &str = "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n";

/// Where images are kept, made if need be.
pub fn directory(target: &Path) -> Result<PathBuf> {
    let directory = target.join(RECIPES);
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    Ok(directory)
}

/// Both images; the directory that has them as `busybox.tar` and `nginx.tar`.
pub fn all(target: &Path) -> Result<PathBuf> {
    busybox(target)?;
    nginx(target)?;
    directory(target)
}

/// busybox, from the package busybox-static.
pub fn busybox(target: &Path) -> Result<PathBuf> {
    let directory = directory(target)?;
    let archive = directory.join("busybox.tar");
    if archive.exists() {
        return Ok(archive);
    }
    let (package, root) = (directory.join("busybox-package"), directory.join("busybox"));
    unpack(&BTreeSet::from(["busybox-static".to_owned()]), &package)?;
    let program = ["bin/busybox", "usr/bin/busybox"].map(|path| package.join(path)).into_iter().find(|p| p.exists());
    let program = program.context("the package busybox-static has no busybox")?;
    base(&root)?;
    fs::create_dir_all(root.join("bin"))?;
    fs::copy(&program, root.join("bin/busybox"))?;
    for applet in output(Command::new(&program).arg("--list"))?.lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    finish(&archive, &root, ("busybox:latest", &["sh"], None))
}

/// nginx, from the packages nginx and nginx-common and those of the libraries.
pub fn nginx(target: &Path) -> Result<PathBuf> {
    let directory = directory(target)?;
    let archive = directory.join("nginx.tar");
    if archive.exists() {
        return Ok(archive);
    }
    let root = directory.join("nginx");
    let mut packages = libraries("nginx")?;
    packages.extend(["nginx", "nginx-common"].map(str::to_owned));
    unpack(&packages, &root)?;
    check_links(&root, Path::new("usr/sbin/nginx"))?;
    base(&root)?;
    for unwanted in ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/lib/systemd"] {
        let _ = fs::remove_dir_all(root.join(unwanted));
    }
    for needed in ["var/log/nginx", "var/lib/nginx", "run"] {
        fs::create_dir_all(root.join(needed))?;
    }
    fs::write(root.join("etc/nginx/nginx.conf"), NGINX)?;
    finish(&archive, &root, ("nginx:latest", &["nginx", "-g", "daemon off;"], Some("SIGQUIT")))
}

/// What every image has.
fn base(root: &Path) -> Result<()> {
    for directory in ["etc", "root", "tmp"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    fs::write(root.join("etc/passwd"), USERS)?;
    fs::write(root.join("etc/group"), GROUPS)?;
    Ok(())
}

fn finish(
    archive: &Path,
    root: &Path,
    (reference, command, stop_signal): (&str, &[&str], Option<&str>),
) -> Result<PathBuf> {
    let architecture = output(Command::new("dpkg").arg("--print-architecture"))?;
    pack(root, &Image { reference, command, stop_signal, architecture: architecture.trim() }, archive)?;
    Ok(archive.to_owned())
}

/// Asks the image's own loader whether it finds every library of a program in the image.
fn check_links(root: &Path, program: &Path) -> Result<()> {
    let program = root.join(program);
    if !program.exists() {
        bail!("the packages have no {}", program.display());
    }
    let directories = ["lib64", "lib", "usr/lib64", "usr/lib"].map(|directory| root.join(directory));
    let loader = directories.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten();
    let loader = loader
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-linux")));
    let loader = loader.context("the packages have no program loader")?;
    let loader = resolved(root, &loader);
    let triplets = directories.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten();
    let libraries: Vec<String> = triplets
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && path.to_string_lossy().ends_with("-linux-gnu"))
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    let listed =
        output(Command::new(loader).arg("--library-path").arg(libraries.join(":")).arg("--list").arg(program))?;
    match listed.lines().find(|line| line.contains("not found")) {
        Some(line) => bail!("a library is missing in the image: {}", line.trim()),
        None => Ok(()),
    }
}

/// A link in the image points into the image, not into this host.
fn resolved(root: &Path, path: &Path) -> PathBuf {
    match fs::read_link(path) {
        Ok(link) if link.is_absolute() => root.join(link.strip_prefix("/").unwrap_or(&link)),
        _ => path.to_owned(),
    }
}
