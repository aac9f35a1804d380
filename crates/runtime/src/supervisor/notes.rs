//! Collects what libcontainer logs as errors: its error values lose their causes on the way from the new container's
//! process to ours, its log lines do not. Lives only in the short process that makes one container.

use rustix::fs::OFlags;
use rustix::pipe::PipeFlags;
use std::fmt::{Debug, Write};
use std::os::fd::OwnedFd;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Notes are cut to this, so that a write to the pipe stays whole.
const NOTE_BYTES_MAX: usize = 2000;

/// The reading end.
pub(crate) struct Notes(OwnedFd);

/// Takes error events of this process and of those cloned from it.
struct Writer(OwnedFd);

impl Notes {
    /// Begins to collect, for this process and its children.
    pub(crate) fn collect() -> std::io::Result<Self> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        for end in [&read, &write] {
            rustix::fs::fcntl_setfl(end, OFlags::NONBLOCK)?;
        }
        // A second one in the same process would be a bug, but a harmless one: the first keeps collecting.
        let _ = tracing::subscriber::set_global_default(Writer(write));
        Ok(Self(read))
    }

    /// The first note, the one nearest to the cause.
    pub(crate) fn first(&self) -> Option<String> {
        let mut buffer = [0u8; NOTE_BYTES_MAX + 1];
        let length = rustix::io::read(&self.0, &mut buffer).ok()?;
        let text = String::from_utf8_lossy(&buffer[..length]);
        text.lines().next().map(str::to_owned)
    }
}

impl Subscriber for Writer {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::ERROR)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let mut line = text.message;
        if !text.fields.is_empty() {
            let _ = write!(line, " ({})", text.fields.join(", "));
        }
        let mut line: String = line.replace('\n', " ").chars().take(NOTE_BYTES_MAX / 4).collect();
        line.push('\n');
        // A full pipe means that there are notes enough.
        let _ = rustix::io::write(&self.0, line.as_bytes());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Text {
    message: String,
    fields: Vec<String>,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.fields.push(format!("{}: {value:?}", field.name()));
        }
    }
}
