//! The last step inside a new container: find the program as a shell would, and become it. Runs after the root file
//! system, user, capabilities and filter of the container are in place; touches nothing of the host.

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use rustix::fs::{Access, AtFlags, CWD, FileType};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::CString;

/// Stands before a message that the program, not the container, is at fault for.
pub(crate) const PROGRAM: &str = "exec: ";

/// Replaces libcontainer's own, which refuses programs that only their owner may execute.
#[derive(Clone)]
pub(crate) struct Program;

impl Executor for Program {
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        let (arguments, environment) = parts(spec);
        find(&arguments, &environment).map(|_| ()).map_err(ExecutorValidationError::ArgValidationError)
    }

    fn setup_envs(&self, _envs: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        // `exec` hands the specification's own list over, in its order.
        Ok(())
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let (arguments, environment) = parts(spec);
        let path = find(&arguments, &environment).map_err(ExecutorError::Other)?;
        let error = become_program(&path, &arguments, &environment);
        // The container has been started; its own output is the place to say why it ends.
        eprintln!("exec {path}: {error}");
        Err(ExecutorError::Other(format!("{PROGRAM}{path}: {error}")))
    }
}

fn parts(spec: &Spec) -> (Vec<String>, Vec<String>) {
    let process = spec.process().as_ref();
    let arguments = process.and_then(|p| p.args().clone()).unwrap_or_default();
    let environment = process.and_then(|p| p.env().clone()).unwrap_or_default();
    (arguments, environment)
}

pub(super) fn find(arguments: &[String], environment: &[String]) -> Result<String, String> {
    let name = arguments.first().map_or("", String::as_str);
    if name.contains('/') {
        return match executable(name) {
            Ok(()) => Ok(name.to_owned()),
            Err(Errno::NOENT) => Err(format!("{PROGRAM}\"{name}\": stat {name}: no such file or directory")),
            Err(error) => Err(format!("{PROGRAM}\"{name}\": {}", words(error))),
        };
    }
    let path = environment.iter().find_map(|text| text.strip_prefix("PATH=")).unwrap_or_default();
    let mut refused = None;
    for directory in path.split(':').filter(|_| !name.is_empty()) {
        let directory = if directory.is_empty() { "." } else { directory };
        let candidate = format!("{directory}/{name}");
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(error) => refused = Some(error),
        }
    }
    Err(match refused {
        Some(error) => format!("{PROGRAM}\"{name}\": {}", words(error)),
        None => format!("{PROGRAM}\"{name}\": executable file not found in $PATH"),
    })
}

fn executable(path: &str) -> rustix::io::Result<()> {
    let stat = rustix::fs::stat(path)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}

fn words(error: Errno) -> String {
    match error {
        Errno::ACCESS => "permission denied".to_owned(),
        Errno::ISDIR => "is a directory".to_owned(),
        other => std::io::Error::from(other).to_string(),
    }
}

#[allow(unsafe_code)]
pub(super) fn become_program(path: &str, arguments: &[String], environment: &[String]) -> std::io::Error {
    // The specification builder refuses NUL bytes, so that nothing is lost here.
    let strings =
        |list: &[String]| -> Vec<CString> { list.iter().filter_map(|text| CString::new(text.as_str()).ok()).collect() };
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let Ok(path) = CString::new(path) else { return Errno::INVAL.into() };
    let (arguments, environment) = (strings(arguments), strings(environment));
    let (arguments, environment) = (pointers(&arguments), pointers(&environment));
    // SAFETY: all three are NUL-terminated and live until the call returns, which it does only when it fails.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    std::io::Error::last_os_error()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, path: &str) -> Result<String, String> {
        find(&[name.to_owned()], &[format!("PATH={path}")])
    }

    #[test]
    fn programs_are_looked_up_like_a_shell_does() {
        assert_eq!(found("sh", "/nosuch:/bin"), Ok("/bin/sh".into()));
        assert_eq!(found("/bin/sh", ""), Ok("/bin/sh".into()));
        assert_eq!(found("nosuch", "/bin"), Err("exec: \"nosuch\": executable file not found in $PATH".into()));
        assert_eq!(found("/nosuch", ""), Err("exec: \"/nosuch\": stat /nosuch: no such file or directory".into()));
        assert_eq!(found("/etc/passwd", ""), Err("exec: \"/etc/passwd\": permission denied".into()));
        assert_eq!(found("/etc", ""), Err("exec: \"/etc\": is a directory".into()));
        assert!(found("", "/bin").is_err());
    }
}
