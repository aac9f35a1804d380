//! Which devices a container may open: the list of Docker, and what it is given besides. Version 1 has files for it, version 2 a
//! small kernel program attached to the group. Never looks at a device node.

use super::{CgroupError, write};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

/// Character devices that may be read and written: null, zero, full, random, urandom, tty, console, ptmx.
const ALLOWED: [(u32, u32); 8] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];
/// Pseudo terminals, every minor number.
const PTS_MAJOR: u32 = 136;

/// A device that a container may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    /// A block device; else a character device.
    pub block: bool,
    /// Its numbers.
    pub major: u32,
    /// The same.
    pub minor: u32,
    /// It may be read.
    pub read: bool,
    /// It may be written to.
    pub write: bool,
}

/// Version 1: deny all, then allow the list. Nodes of any kind may be made, not opened.
pub(super) fn allow_v1(group: &Path, given: &[DeviceRule]) -> Result<(), CgroupError> {
    write(&group.join("devices.deny"), "a")?;
    let allow = group.join("devices.allow");
    write(&allow, "c *:* m")?;
    write(&allow, "b *:* m")?;
    for rule in given {
        write(&allow, &rule.line())?;
    }
    for (major, minor) in ALLOWED {
        write(&allow, &format!("c {major}:{minor} rwm"))?;
    }
    write(&allow, &format!("c {PTS_MAJOR}:* rwm"))
}

/// Version 2: a program that answers 1 for what is allowed, attached to the group.
pub(super) fn allow_v2(group: &Path, given: &[DeviceRule]) -> Result<(), CgroupError> {
    let failed = |action| move |source| CgroupError::File { action, path: group.to_owned(), source };
    let directory = File::open(group).map_err(failed("open"))?;
    let program = load(&program(given)).map_err(failed("load the device filter of"))?;
    attach(&program, &directory).map_err(failed("attach the device filter to"))
}

impl DeviceRule {
    /// As version 1 reads it.
    fn line(&self) -> String {
        let kind = if self.block { 'b' } else { 'c' };
        let access = [(self.read, "r"), (self.write, "w")];
        let access: String = access.into_iter().filter(|(may, _)| *may).map(|(_, letter)| letter).collect();
        format!("{kind} {}:{} {access}m", self.major, self.minor)
    }

    /// As version 2 runs it: what this does not allow is left to what follows.
    fn code(&self) -> [Instruction; 8] {
        let kind = if self.block { KIND_BLOCK } else { KIND_CHARACTER };
        let may = if self.read { READ_BIT } else { 0 } | if self.write { WRITE_BIT } else { 0 };
        [
            instruction(JUMP_IF_NOT, 3, 0, 7, kind),
            instruction(JUMP_IF_NOT, 4, 0, 6, self.major as i32),
            instruction(JUMP_IF_NOT, 5, 0, 5, self.minor as i32),
            // Nothing is wanted that it may not.
            instruction(MOVE_REGISTER, 6, 2, 0, 0),
            instruction(AND, 6, 0, 0, OPEN_BITS & !may),
            instruction(JUMP_IF_NOT, 6, 0, 2, 0),
            instruction(MOVE, 0, 0, 0, 1),
            instruction(EXIT, 0, 0, 0, 0),
        ]
    }
}

/// One instruction of the kernel's virtual machine.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u8,
    /// Destination in the low half, source in the high half.
    registers: u8,
    offset: i16,
    immediate: i32,
}

const LOAD_WORD: u8 = 0x61;
const MOVE_REGISTER: u8 = 0xbf;
const MOVE: u8 = 0xb7;
const AND: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_IF_NOT: u8 = 0x55;
const JUMP_IF: u8 = 0x15;
const EXIT: u8 = 0x95;

const KIND_BLOCK: i32 = 1;
const KIND_CHARACTER: i32 = 2;
const READ_BIT: i32 = 0x2;
const WRITE_BIT: i32 = 0x4;
/// All access bits but "make a node".
const OPEN_BITS: i32 = 0x6;

fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: destination | source << 4, offset, immediate }
}

/// The context holds three words: access in the high and kind in the low half, major, minor.
fn program(given: &[DeviceRule]) -> Vec<Instruction> {
    let mut code = vec![
        instruction(LOAD_WORD, 2, 1, 0, 0),
        instruction(LOAD_WORD, 4, 1, 4, 0),
        instruction(LOAD_WORD, 5, 1, 8, 0),
        instruction(MOVE_REGISTER, 3, 2, 0, 0),
        instruction(AND, 3, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, 2, 0, 0, 16),
        instruction(AND, 2, 0, 0, OPEN_BITS),
        // Making a node opens nothing.
        instruction(JUMP_IF_NOT, 2, 0, 2, 0),
        instruction(MOVE, 0, 0, 0, 1),
        instruction(EXIT, 0, 0, 0, 0),
    ];
    code.extend(given.iter().flat_map(DeviceRule::code));
    // Block devices are opened by none but those who were given one.
    code.extend([
        instruction(JUMP_IF, 3, 0, 2, KIND_CHARACTER),
        instruction(MOVE, 0, 0, 0, 0),
        instruction(EXIT, 0, 0, 0, 0),
    ]);
    for (major, minor) in ALLOWED {
        code.push(instruction(JUMP_IF_NOT, 4, 0, 3, major as i32));
        code.push(instruction(JUMP_IF_NOT, 5, 0, 2, minor as i32));
        code.push(instruction(MOVE, 0, 0, 0, 1));
        code.push(instruction(EXIT, 0, 0, 0, 0));
    }
    code.push(instruction(JUMP_IF_NOT, 4, 0, 2, PTS_MAJOR as i32));
    code.push(instruction(MOVE, 0, 0, 0, 1));
    code.push(instruction(EXIT, 0, 0, 0, 0));
    code.push(instruction(MOVE, 0, 0, 0, 0));
    code.push(instruction(EXIT, 0, 0, 0, 0));
    code
}

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;

/// The start of `union bpf_attr` for loading.
#[repr(C)]
#[derive(Default)]
struct LoadAttributes {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// The start of `union bpf_attr` for attaching.
#[repr(C)]
#[derive(Default)]
struct AttachAttributes {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

#[allow(unsafe_code)]
fn load(code: &[Instruction]) -> io::Result<OwnedFd> {
    let attributes = LoadAttributes {
        kind: TYPE_CGROUP_DEVICE,
        count: code.len() as u32,
        instructions: code.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..LoadAttributes::default()
    };
    // SAFETY: the structure is the leading part of `union bpf_attr` for this command, its size is given, and the code
    // and the licence it points to live until the call returns.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attributes, size_of::<LoadAttributes>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

#[allow(unsafe_code)]
fn attach(program: &OwnedFd, group: &File) -> io::Result<()> {
    let attributes = AttachAttributes {
        target: group.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: 0,
    };
    // SAFETY: the structure is the leading part of `union bpf_attr` for this command, its size is given, and both
    // descriptors are open during the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const attributes, size_of::<AttachAttributes>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program for one access, as the kernel would.
    fn answer(code: &[Instruction], access: u32, kind: u32, major: u32, minor: u32) -> u64 {
        let context = [access << 16 | kind, major, minor];
        let mut registers = [0u64; 11];
        let mut at = 0usize;
        loop {
            let i = code[at];
            let (to, from) = ((i.registers & 0xf) as usize, (i.registers >> 4) as usize);
            match i.code {
                LOAD_WORD => registers[to] = u64::from(context[i.offset as usize / 4]),
                MOVE_REGISTER => registers[to] = registers[from],
                MOVE => registers[to] = i.immediate as u64,
                AND => registers[to] &= i.immediate as u64,
                SHIFT_RIGHT => registers[to] >>= i.immediate,
                JUMP_IF_NOT if registers[to] != i.immediate as u64 => at += i.offset as usize,
                JUMP_IF if registers[to] == i.immediate as u64 => at += i.offset as usize,
                JUMP_IF_NOT | JUMP_IF => {}
                EXIT => return registers[0],
                other => panic!("unknown code {other:#x}"),
            }
            at += 1;
        }
    }

    #[test]
    fn only_listed_devices_open() {
        let code = program(&[]);
        let (make, read, write) = (1, 2, 4);
        assert_eq!(answer(&code, read | write, 2, 1, 3), 1, "/dev/null");
        assert_eq!(answer(&code, read, 2, 136, 77), 1, "a pseudo terminal");
        assert_eq!(answer(&code, make, 1, 8, 0), 1, "making a node");
        assert_eq!(answer(&code, read, 1, 8, 0), 0, "a disk");
        assert_eq!(answer(&code, make | read, 1, 1, 3), 0, "a block device with the number of null");
        assert_eq!(answer(&code, read, 2, 1, 1), 0, "/dev/mem");
        assert_eq!(answer(&code, write, 2, 10, 200), 0, "/dev/net/tun");
    }

    #[test]
    fn what_is_given_opens_as_far_as_it_is_given() {
        let rule = |block, major, minor, write| DeviceRule { block, major, minor, read: true, write };
        let given = [rule(false, 195, 0, true), rule(false, 195, 255, false), rule(true, 8, 16, false)];
        let code = program(&given);
        let (make, read, write) = (1, 2, 4);
        assert_eq!(answer(&code, read | write, 2, 195, 0), 1, "a GPU");
        assert_eq!(answer(&code, read | make, 2, 195, 255), 1, "one to be read");
        assert_eq!(answer(&code, read | write, 2, 195, 255), 0, "and no more than that");
        assert_eq!(answer(&code, read, 2, 195, 1), 0, "another GPU");
        assert_eq!(answer(&code, read, 1, 8, 16), 1, "a disk");
        assert_eq!((answer(&code, read, 1, 8, 0), answer(&code, read, 1, 195, 0)), (0, 0), "no other disk");
        assert_eq!((answer(&code, read, 2, 1, 3), answer(&code, read, 2, 1, 1)), (1, 0), "the list is as before");
        assert_eq!(given.map(|rule| rule.line()), ["c 195:0 rwm", "c 195:255 rm", "b 8:16 rm"]);
    }
}
