//! The reading end of a spool, for who ships it: lines from where the last one left off, parts joined, and what has been
//! shipped removed. The place is kept in a file beside the segments, so that a kill repeats what was on its way and no more.

use crate::output::{Record, Stream, TARGET, parse, segment, segments};
use node::hands::LogTarget;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A longer line is more than one event: 256 KiB less what an event counts besides its text.
pub const EVENT_BYTES_MAX: usize = (256 << 10) - 26;
/// Lines of one batch.
const LINES_MAX: usize = 10_000;
/// Bytes of one batch, each line with what stands around it in a request.
const BATCH_BYTES_MAX: usize = 900_000;
const AROUND_LINE_BYTES: usize = 48;
/// From the first line of a batch to its last.
const SPAN_MS: u64 = 23 * 3_600_000;
/// What is read at once.
const CHUNK_BYTES: usize = 1 << 20;
const SHIPPED: &str = "shipped";

/// A line of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Milliseconds since the epoch; never less than the line's before.
    pub at: u64,
    /// Its text; bytes that are no UTF-8 are replaced.
    pub message: String,
}

/// A place in a spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    segment: u64,
    offset: u64,
}

/// A line of which parts were read.
#[derive(Debug, Default)]
struct Part {
    at: u64,
    bytes: Vec<u8>,
    begun: Option<Place>,
}

/// A reader of one spool.
#[derive(Debug)]
pub struct Tail {
    directory: PathBuf,
    target: LogTarget,
    place: Place,
    last_at: u64,
    parts: [Part; 2],
}

impl Tail {
    /// The spools of a task's directory that say where they are to be shipped.
    pub fn all(output: &Path) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(output) else { return Vec::new() };
        entries.flatten().map(|entry| entry.path()).filter(|path| path.join(TARGET).exists()).collect()
    }

    /// Goes on where shipping left off.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let target = serde_json::from_slice(&fs::read(directory.join(TARGET))?)?;
        let kept = fs::read_to_string(directory.join(SHIPPED)).unwrap_or_default();
        let place = kept
            .trim()
            .split_once(' ')
            .and_then(|(segment, offset)| Some(Place { segment: segment.parse().ok()?, offset: offset.parse().ok()? }));
        let (directory, place) = (directory.to_owned(), place.unwrap_or_default());
        Ok(Self { directory, target, place, last_at: 0, parts: Default::default() })
    }

    /// Where the lines go.
    pub fn target(&self) -> &LogTarget {
        &self.target
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether a line stands there without its end.
    pub fn has_part(&self) -> bool {
        self.parts.iter().any(|part| part.begun.is_some())
    }

    /// The next lines, and whether there may be more. `flush`: a line without its end is one too.
    pub fn read(&mut self, flush: bool) -> io::Result<(Vec<Line>, bool)> {
        let mut batch = Batch::default();
        loop {
            // Looked at before the file is read to its end: nothing comes to a segment after the next one is there.
            let all = segments(&self.directory)?;
            let Some(current) = all.iter().copied().find(|number| *number >= self.place.segment) else { break };
            if current != self.place.segment {
                let lost = self.place.offset;
                self.place = Place { segment: current, offset: 0 };
                batch.known_of_lost = lost;
            }
            let newer = all.iter().any(|number| *number > current);
            match self.read_segment(&mut batch)? {
                Step::Full => return Ok((batch.lines, true)),
                Step::End if newer => self.place = Place { segment: current + 1, offset: 0 },
                Step::End => break,
            }
        }
        if flush {
            for part in &mut self.parts {
                if part.begun.take().is_some() {
                    batch.push(&mut self.last_at, part.at, &std::mem::take(&mut part.bytes));
                }
            }
        }
        Ok((batch.lines, false))
    }

    fn read_segment(&mut self, batch: &mut Batch) -> io::Result<Step> {
        let file = match File::open(segment(&self.directory, self.place.segment)) {
            Ok(file) => file,
            // Dropped at this moment.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Step::End),
            Err(error) => return Err(error),
        };
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let length = read_at(&file, &mut chunk, self.place.offset)?;
            let mut rest = &chunk[..length];
            let mut whole = false;
            while let Some(end) = memchr(rest) {
                whole = true;
                if batch.is_full(rest.get(..end).map_or(0, <[u8]>::len)) {
                    return Ok(Step::Full);
                }
                if let Some(record) = parse(&rest[..end]) {
                    if batch.spans(record.at) {
                        return Ok(Step::Full);
                    }
                    self.take(batch, record);
                }
                self.place.offset += end as u64 + 1;
                rest = &rest[end + 1..];
            }
            if !whole {
                return Ok(Step::End);
            }
        }
    }

    fn take(&mut self, batch: &mut Batch, record: Record) {
        let Record { at, stream, full, bytes } = record;
        let part = match stream {
            Stream::Output => &mut self.parts[0],
            Stream::Error => &mut self.parts[1],
            Stream::Dropped => {
                let dropped: u64 = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
                let lost = dropped.saturating_sub(std::mem::take(&mut batch.known_of_lost));
                let words = format!(
                    "[gantry] {lost} bytes of output were dropped here: they came faster than the log took them"
                );
                return batch.push(&mut self.last_at, at, words.as_bytes());
            }
        };
        if full && part.begun.is_none() {
            return batch.push(&mut self.last_at, at, &bytes);
        }
        if part.begun.is_none() {
            (part.at, part.begun) = (at, Some(self.place));
        }
        if part.bytes.len() + bytes.len() > EVENT_BYTES_MAX {
            batch.push(&mut self.last_at, part.at, &std::mem::take(&mut part.bytes));
            (part.at, part.begun) = (at, Some(self.place));
        }
        part.bytes.extend_from_slice(&bytes);
        if full {
            part.begun = None;
            batch.push(&mut self.last_at, part.at, &std::mem::take(&mut part.bytes));
        }
    }

    /// What was read is durable elsewhere: the place is kept, and what lies before it removed.
    pub fn commit(&mut self) -> io::Result<()> {
        let begun = self.parts.iter().filter_map(|part| part.begun);
        let safe = begun.chain([self.place]).min_by_key(|place| (place.segment, place.offset)).unwrap_or(self.place);
        let aside = self.directory.join(".shipped.new");
        fs::write(&aside, format!("{} {}\n", safe.segment, safe.offset))?;
        fs::rename(aside, self.directory.join(SHIPPED))?;
        for number in segments(&self.directory)?.into_iter().filter(|number| *number < safe.segment) {
            match fs::remove_file(segment(&self.directory, number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

enum Step {
    /// The batch takes no more.
    Full,
    /// The segment has no more whole records.
    End,
}

#[derive(Default)]
struct Batch {
    lines: Vec<Line>,
    bytes: usize,
    /// Of what was dropped, so much had been shipped.
    known_of_lost: u64,
}

impl Batch {
    fn is_full(&self, next: usize) -> bool {
        let bytes = self.bytes + next + AROUND_LINE_BYTES;
        self.lines.len() >= LINES_MAX || (bytes > BATCH_BYTES_MAX && !self.lines.is_empty())
    }

    fn spans(&self, at: u64) -> bool {
        self.lines.first().is_some_and(|first| at.saturating_sub(first.at) > SPAN_MS)
    }

    /// An event has a text: empty lines are left out, as Docker's driver does.
    fn push(&mut self, last_at: &mut u64, at: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        *last_at = at.max(*last_at);
        let message = String::from_utf8_lossy(bytes).into_owned();
        self.bytes += message.len() + AROUND_LINE_BYTES;
        self.lines.push(Line { at: *last_at, message });
    }
}

/// Where the first newline is.
fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Spool;

    struct World(PathBuf);

    impl World {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("runtime-tail-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Self(path)
        }

        fn spool(&self, blocking: bool) -> Spool {
            let target = LogTarget { group: "g".into(), blocking, buffer_bytes: Some(1), ..LogTarget::default() };
            Spool::open(&self.0, &target, "id-1").expect("spool")
        }

        fn tail(&self) -> Tail {
            Tail::open(&self.0).expect("tail")
        }
    }

    impl Drop for World {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn texts(read: io::Result<(Vec<Line>, bool)>) -> Vec<String> {
        read.expect("read").0.into_iter().map(|line| line.message).collect()
    }

    #[test]
    fn lines_are_read_once_and_again_after_a_kill() {
        let world = World::new("once");
        let mut spool = world.spool(false);
        let mut tail = world.tail();
        assert_eq!((tail.target().group.as_str(), tail.target().stream.as_deref()), ("g", Some("id-1")));
        spool.take(false, b"one\ntwo\n\nthr").expect("take");
        assert_eq!(texts(tail.read(false)), ["one", "two"]);
        assert_eq!(texts(world.tail().read(false)), ["one", "two"], "nothing was committed");
        tail.commit().expect("commit");
        spool.take(false, b"ee\n").expect("take");
        assert_eq!(texts(world.tail().read(false)), ["three"]);
        assert_eq!(texts(tail.read(false)), ["three"]);
    }

    #[test]
    fn parts_are_joined_and_a_last_one_waits() {
        let world = World::new("parts");
        let mut spool = world.spool(true);
        let mut tail = world.tail();
        let long = "x".repeat(50_000);
        spool.take(false, format!("{long}\n").as_bytes()).expect("take");
        assert_eq!(texts(tail.read(false)), [long.as_str()]);
        spool.take(false, &long.as_bytes()[..20_000]).expect("take");
        spool.take(true, b"between\n").expect("take");
        assert_eq!(texts(tail.read(false)), ["between"]);
        assert!(tail.has_part());
        tail.commit().expect("commit");
        spool.end(false).expect("end");
        assert_eq!(texts(tail.read(true)), [long[..20_000].to_owned()]);
        assert!(!tail.has_part());
        let huge = "y".repeat(600_000);
        spool.take(false, format!("{huge}\n").as_bytes()).expect("take");
        let parts = texts(tail.read(false));
        assert!(parts.iter().all(|part| part.len() <= EVENT_BYTES_MAX) && parts.concat() == huge, "{}", parts.len());
    }

    #[test]
    fn a_blocking_spool_waits_and_loses_nothing() {
        let world = World::new("blocking");
        let mut spool = world.spool(true);
        let mut tail = world.tail();
        let (mut wrote, mut seen, mut waits) = (0u64, Vec::new(), 0);
        while wrote < 100_000 {
            while !spool.is_full() && wrote < 100_000 {
                let lines: String = (wrote..wrote + 500).map(|n| format!("line {n}\n")).collect();
                spool.take(false, lines.as_bytes()).expect("take");
                wrote += 500;
            }
            waits += 1;
            while spool.is_full() || wrote == 100_000 {
                let (lines, _) = tail.read(false).expect("read");
                if lines.is_empty() {
                    break;
                }
                seen.extend(lines.into_iter().map(|line| line.message));
                tail.commit().expect("commit");
            }
        }
        assert!(waits > 2, "it never waited");
        assert!(seen.iter().enumerate().all(|(n, line)| *line == format!("line {n}")) && seen.len() == 100_000);
    }

    #[test]
    fn what_a_bounded_spool_dropped_is_told() {
        let world = World::new("dropped");
        let mut spool = world.spool(false);
        let mut tail = world.tail();
        spool.take(false, b"first\n").expect("take");
        assert_eq!(texts(tail.read(false)), ["first"]);
        for n in 0..100_000 {
            spool.take(false, format!("line number {n}\n").as_bytes()).expect("take");
        }
        let (mut all, mut more) = (Vec::new(), true);
        while more {
            let (lines, rest) = tail.read(false).expect("read");
            all.extend(lines.into_iter().map(|line| line.message));
            more = rest;
        }
        assert!(all.iter().any(|line| line.starts_with("[gantry] ")), "{:?}", &all[..2]);
        assert_eq!(all.last().map(String::as_str), Some("line number 99999"));
    }

    #[test]
    fn batches_are_bounded() {
        let world = World::new("bounded");
        let target = LogTarget { group: "g".into(), ..LogTarget::default() };
        let mut spool = Spool::open(&world.0, &target, "id").expect("spool");
        spool.take(false, "a\n".repeat(25_000).as_bytes()).expect("take");
        let mut tail = world.tail();
        let counts = [(); 3].map(|()| tail.read(false).expect("read")).map(|(lines, more)| (lines.len(), more));
        assert_eq!(counts, [(10_000, true), (10_000, true), (5_000, false)]);
    }
}
