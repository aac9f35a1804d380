//! The spool of a container's output: bounded, oldest dropped, readable by anyone with the directory.
//!
//! A spool is a directory of numbered segments, `00000001.log` and on; two are kept. A segment is a sequence of lines
//!
//! ```text
//! <milliseconds since the epoch> <o|e|d> <F|P> <bytes>\n
//! ```
//!
//! `o` is standard output and `e` standard error. `F` is a full line; `P` a part of one, continued by the next record of
//! the same stream. The bytes are the container's, unchanged; they hold no newline, as that is what divides records.
//! `d` says that `<bytes>` bytes of older records were dropped. Never interprets what a container prints.
//!
//! Beside the segments, `log.json` says where the output is to be shipped; who ships it removes segments (`tail`). A
//! container that is to wait has its pipe left alone while both segments are full and unshipped.

use crate::directory::now_ms;
use node::hands::LogTarget;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A whole spool; two segments.
pub const SPOOL_BYTES_MAX: u64 = 64 << 20;
/// The least that a spool is given.
const SPOOL_BYTES_MIN: u64 = 512 << 10;
/// Where the output is to be shipped.
pub(crate) const TARGET: &str = "log.json";
/// Longer lines are cut into parts.
pub const LINE_BYTES_MAX: usize = 16 << 10;
/// Records gathered before a write.
const BUFFER_BYTES: usize = 64 << 10;

/// Which stream a record belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
    /// Not the container's: so many bytes of older records are gone.
    Dropped,
}

/// One record as it is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Milliseconds since the epoch.
    pub at: u64,
    /// Where it was written.
    pub stream: Stream,
    /// A newline ended it.
    pub full: bool,
    /// The bytes, without the newline.
    pub bytes: Vec<u8>,
}

/// The writing end, held by a supervisor.
pub(crate) struct Spool {
    directory: PathBuf,
    file: File,
    number: u64,
    written: u64,
    segment_max: u64,
    blocking: bool,
    buffer: Vec<u8>,
    /// Unfinished lines: output, error.
    open: [Vec<u8>; 2],
}

impl Spool {
    /// Starts a new segment after those that exist.
    pub(crate) fn open(directory: &Path, target: &LogTarget, runtime_id: &str) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let stream = target.stream.clone().unwrap_or_else(|| runtime_id.to_owned());
        let target = LogTarget { stream: Some(stream), ..target.clone() };
        let aside = directory.join(".log.json.new");
        fs::write(&aside, serde_json::to_vec(&target)?)?;
        fs::rename(aside, directory.join(TARGET))?;
        let bytes = target.buffer_bytes.unwrap_or(SPOOL_BYTES_MAX).max(SPOOL_BYTES_MIN);
        Self::open_sized(directory, bytes / 2, target.blocking)
    }

    fn open_sized(directory: &Path, segment_max: u64, blocking: bool) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let number = segments(directory)?.last().map_or(1, |last| last + 1);
        let file = create(directory, number)?;
        let spool = Self {
            directory: directory.to_owned(),
            file,
            number,
            written: 0,
            segment_max,
            blocking,
            buffer: Vec::new(),
            open: [Vec::new(), Vec::new()],
        };
        Ok(spool)
    }

    /// Nothing may be taken before something was shipped.
    pub(crate) fn is_full(&self) -> bool {
        let near = self.written + 2 * BUFFER_BYTES as u64 > self.segment_max;
        let older = || segments(&self.directory).is_ok_and(|all| all.iter().any(|number| *number < self.number));
        self.blocking && near && older()
    }

    /// Takes what one read gave; lines are stamped now and written at once.
    pub(crate) fn take(&mut self, error: bool, mut bytes: &[u8]) -> io::Result<()> {
        let at = now_ms();
        while !bytes.is_empty() {
            let open = &mut self.open[usize::from(error)];
            let room = LINE_BYTES_MAX - open.len();
            let newline = bytes.iter().take(room).position(|byte| *byte == b'\n');
            let length = newline.unwrap_or(room.min(bytes.len()));
            open.extend_from_slice(&bytes[..length]);
            bytes = &bytes[length + usize::from(newline.is_some())..];
            if newline.is_some() || self.open[usize::from(error)].len() >= LINE_BYTES_MAX {
                self.record(at, error, newline.is_some());
            }
            if self.buffer.len() >= BUFFER_BYTES {
                self.flush()?;
            }
        }
        self.flush()
    }

    /// The stream has ended; what stands without a newline is written as it is.
    pub(crate) fn end(&mut self, error: bool) -> io::Result<()> {
        if !self.open[usize::from(error)].is_empty() {
            self.record(now_ms(), error, false);
        }
        self.flush()
    }

    fn record(&mut self, at: u64, error: bool, full: bool) {
        let open = &mut self.open[usize::from(error)];
        let head = format!("{at} {} {} ", if error { 'e' } else { 'o' }, if full { 'F' } else { 'P' });
        self.buffer.extend_from_slice(head.as_bytes());
        self.buffer.append(open);
        self.buffer.push(b'\n');
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if self.written > 0 && self.written + self.buffer.len() as u64 > self.segment_max {
            self.rotate()?;
        }
        self.file.write_all(&self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.number += 1;
        self.file = create(&self.directory, self.number)?;
        self.written = 0;
        if self.blocking {
            return Ok(());
        }
        for number in segments(&self.directory)? {
            if number + 1 < self.number {
                let path = segment(&self.directory, number);
                let dropped = fs::metadata(&path).map_or(0, |data| data.len());
                if fs::remove_file(&path).is_err() {
                    // It was shipped at this moment, or it stays one more than it should.
                    continue;
                }
                let note = format!("{} d F {dropped}\n", now_ms());
                self.file.write_all(note.as_bytes())?;
                self.written += note.len() as u64;
            }
        }
        Ok(())
    }
}

pub(crate) fn segment(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:08}.log"))
}

fn create(directory: &Path, number: u64) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(segment(directory, number))
}

pub(crate) fn segments(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers: Vec<u64> = fs::read_dir(directory)?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".log")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// All records of a spool, oldest first; a record still being written is left out.
pub fn read(directory: &Path) -> io::Result<Vec<Record>> {
    let mut records = Vec::new();
    for number in segments(directory)? {
        let bytes = fs::read(segment(directory, number))?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        records.extend(bytes[..whole].split(|byte| *byte == b'\n').filter_map(parse));
    }
    Ok(records)
}

pub(crate) fn parse(line: &[u8]) -> Option<Record> {
    let mut fields = line.splitn(4, |byte| *byte == b' ');
    let at = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let stream = match fields.next()? {
        b"o" => Stream::Output,
        b"e" => Stream::Error,
        b"d" => Stream::Dropped,
        _ => return None,
    };
    let full = fields.next()? == b"F";
    Some(Record { at, stream, full, bytes: fields.next()?.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("runtime-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn lines_parts_and_streams() {
        let directory = scratch("spool");
        let mut spool = Spool::open_sized(&directory, SPOOL_BYTES_MAX / 2, false).expect("open");
        spool.take(false, b"one\ntw").expect("take");
        spool.take(true, b"err \xff\n\n").expect("take");
        spool.take(false, b"o\nrest").expect("take");
        spool.end(false).expect("end");
        let records = read(&directory).expect("read");
        let short: Vec<(Stream, bool, &[u8])> =
            records.iter().map(|r| (r.stream, r.full, r.bytes.as_slice())).collect();
        assert_eq!(
            short,
            [
                (Stream::Output, true, b"one".as_slice()),
                (Stream::Error, true, b"err \xff"),
                (Stream::Error, true, b""),
                (Stream::Output, true, b"two"),
                (Stream::Output, false, b"rest"),
            ]
        );
        fs::remove_dir_all(directory).expect("remove");
    }

    #[test]
    fn long_lines_are_cut_and_nothing_is_lost() {
        let directory = scratch("long");
        let mut spool = Spool::open_sized(&directory, SPOOL_BYTES_MAX / 2, false).expect("open");
        let long = vec![b'x'; LINE_BYTES_MAX * 2 + 5];
        spool.take(false, &long).expect("take");
        spool.take(false, b"\n").expect("take");
        let records = read(&directory).expect("read");
        assert_eq!(records.iter().map(|r| r.full).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(records.iter().map(|r| r.bytes.len()).sum::<usize>(), long.len());
        fs::remove_dir_all(directory).expect("remove");
    }

    #[test]
    fn the_oldest_goes_and_is_counted() {
        let directory = scratch("bounded");
        let mut spool = Spool::open_sized(&directory, 1000, false).expect("open");
        for n in 0..200 {
            spool.take(false, format!("line number {n}\n").as_bytes()).expect("take");
        }
        let size: u64 = segments(&directory)
            .expect("segments")
            .iter()
            .map(|n| fs::metadata(segment(&directory, *n)).expect("size").len())
            .sum();
        assert!(size <= 2100, "{size}");
        let records = read(&directory).expect("read");
        assert!(records.iter().any(|r| r.stream == Stream::Dropped));
        assert_eq!(records.last().expect("last").bytes, b"line number 199");
        fs::remove_dir_all(directory).expect("remove");
    }
}
