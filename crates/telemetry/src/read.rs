//! Reading: events of one stream from either end, events of many streams in the order of time, and the list of streams.
//!
//! A place among events is (time, stream, number in the stream), which no later write changes; tokens are such places.

use crate::append::{BATCH_BYTES_MAX, EVENT_OVERHEAD_BYTES};
use crate::block::{BLOCK_SPAN_MS, Event};
use crate::pattern::Pattern;
use crate::store::connect;
use crate::{Error, Group, Millis};
use merge::{Backward, Forward, Scope, Seen};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

mod merge;

/// Connections that are kept open for the next reader.
const IDLE_MAX: usize = 2;
/// Unpacked bytes that one page looks through before it is handed out as it is.
const SEARCHED_MAX: usize = 32 << 20;

/// Reads.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// A place in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    at: Millis,
    seq: i64,
}

/// Where to go on in a stream, and which way; as text `f/…` or `b/…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// From there to what is newer.
    Forward(Place),
    /// From before there to what is older.
    Backward(Place),
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (way, place) = match self {
            Self::Forward(place) => ('f', place),
            Self::Backward(place) => ('b', place),
        };
        write!(f, "{way}/{:016x}{:016x}", place.at, place.seq)
    }
}

impl Token {
    /// Reads the text.
    pub fn parse(text: &str) -> Option<Self> {
        let (way, digits) = text.split_once('/')?;
        if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let number = |part: &str| i64::from_str_radix(part, 16).ok();
        let place = Place { at: u64::try_from(number(&digits[..16])?).ok()?, seq: number(&digits[16..])? };
        match way {
            "f" => Some(Self::Forward(place)),
            "b" => Some(Self::Backward(place)),
            _ => None,
        }
    }
}

/// Events of a stream, oldest first.
#[derive(Clone, Debug)]
pub struct Page {
    /// The events.
    pub events: Vec<Event>,
    /// To what is newer; the same again when there is nothing.
    pub forward: Token,
    /// To what is older; the same again when there is nothing.
    pub backward: Token,
}

/// Which events of which streams.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The streams of these names; `None`: all.
    pub names: Option<Vec<String>>,
    /// Whose names begin so.
    pub prefix: String,
    /// From this time.
    pub from: Millis,
    /// To before this time.
    pub to: Millis,
    /// What they say.
    pub pattern: Pattern,
    /// Where the page before ended.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Stream, id of the event, event.
    pub events: Vec<(String, String, Event)>,
    /// Where to go on.
    pub next: Option<String>,
}

/// A stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Millis,
    /// The time of its oldest event.
    pub first: Option<Millis>,
    /// The time of its newest event.
    pub last: Option<Millis>,
    /// When an event last came.
    pub ingested: Option<Millis>,
}

/// By what streams are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Name.
    #[default]
    Name,
    /// Time of the newest event.
    Last,
}

/// Which streams.
#[derive(Clone, Debug, Default)]
pub struct Streams {
    /// Whose names begin so.
    pub prefix: String,
    /// By what.
    pub order: Order,
    /// The other way round.
    pub descending: bool,
    /// Where the page before ended.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

impl Reader {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Mutex::default() }
    }

    fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle().pop();
        let connection = match kept {
            Some(connection) => connection,
            None => connect(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE, 512)?,
        };
        // Everything is read as it was at one moment.
        let moment = connection.unchecked_transaction()?;
        let result = read(&moment);
        moment.finish()?;
        let mut idle = idle();
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        result
    }

    /// Events of a stream between two times. `token`: where to go on; else `head` tells which end to begin at.
    pub fn stream(
        &self,
        (group, name): (&Group, &str),
        (from, to): (Millis, Millis),
        (token, head): (Option<Token>, bool),
        limit: usize,
    ) -> Result<Page, Error> {
        self.with(|connection| {
            let owner = owner(connection, group)?.ok_or(Error::NoStream)?;
            let mut find = connection.prepare_cached("SELECT id FROM streams WHERE owner = ?1 AND name = ?2")?;
            let id: Option<i64> = find.query_row(params![owner, name], |row| row.get(0)).optional()?;
            let id = id.ok_or(Error::NoStream)?;
            let mut page = Gathered { limit, bytes: 0, events: Vec::new() };
            let start = match (token, head) {
                (Some(token), _) => token,
                (None, true) => Token::Forward(Place { at: from, seq: 0 }),
                (None, false) => Token::Backward(Place { at: to, seq: 0 }),
            };
            match start {
                Token::Forward(place) => {
                    let begin = (place.at.max(from), id, if place.at >= from { place.seq } else { 0 });
                    let scope = Scope::Stream(id);
                    Forward::new(connection, scope, begin, to)?.run(|seen| page.take(&seen))?;
                }
                Token::Backward(place) => {
                    let end = if place.at < to { place } else { Place { at: to, seq: 0 } };
                    Backward::new(connection, id, from, (end.at, end.seq))?.run(|seen| page.take(&seen))?;
                    page.events.reverse();
                }
            }
            Ok(page.finish(start))
        })
    }

    /// Events of many streams in the order of time.
    pub fn filter(&self, group: &Group, filter: &Filter) -> Result<Found, Error> {
        let begin = match filter.after.as_deref() {
            Some(token) => read_after(token)?,
            None => (filter.from, i64::MIN, 0),
        };
        self.with(|connection| {
            let Some(owner) = owner(connection, group)? else {
                return if filter.names.is_some() { Err(Error::NoStream) } else { Ok(Found::default()) };
            };
            let wanted = self.wanted(connection, owner, filter)?;
            let scope = match &wanted {
                Some(ids) if ids.is_empty() => return Ok(Found::default()),
                Some(ids) if ids.len() == 1 => Scope::Stream(ids.first().copied().unwrap_or_default()),
                Some(ids) => Scope::Some(owner, ids.clone()),
                None => Scope::Owner(owner),
            };
            let (mut found, mut bytes, mut searched) = (Vec::new(), 0, 0);
            let mut next = None;
            Forward::new(connection, scope, begin.max((filter.from, i64::MIN, 0)), filter.to)?.run(|seen| {
                let message = seen.block.message(seen.entry);
                searched += message.len() + EVENT_OVERHEAD_BYTES;
                let matches = filter.pattern.matches(message);
                let size = message.len() + EVENT_OVERHEAD_BYTES;
                let full = matches && (found.len() >= filter.limit || (bytes + size > BATCH_BYTES_MAX && bytes > 0));
                if full || searched > SEARCHED_MAX {
                    next = Some(format!("{:016x}{:016x}{:016x}", seen.entry.at, seen.stream, seen.seq));
                    return ControlFlow::Break(());
                }
                if matches {
                    bytes += size;
                    found.push((seen.stream, seen.seq, seen.block.event(seen.entry)));
                }
                ControlFlow::Continue(())
            })?;
            let mut names = connection.prepare_cached("SELECT name FROM streams WHERE id = ?1")?;
            let mut named = std::collections::BTreeMap::new();
            let mut events = Vec::with_capacity(found.len());
            for (stream, seq, event) in found {
                let name: &String = match named.entry(stream) {
                    std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                    std::collections::btree_map::Entry::Vacant(free) => {
                        free.insert(names.query_row([stream], |row| row.get(0))?)
                    }
                };
                let id = format!("{:016}{stream:020}{seq:020}", event.at);
                events.push((name.clone(), id, event));
            }
            Ok(Found { events, next })
        })
    }

    /// The streams that a filter names; `None`: all of the group.
    fn wanted(&self, connection: &Connection, owner: i64, filter: &Filter) -> Result<Option<BTreeSet<i64>>, Error> {
        if let Some(names) = &filter.names {
            let mut find = connection.prepare_cached("SELECT id FROM streams WHERE owner = ?1 AND name = ?2")?;
            let ids = names.iter().map(|name| find.query_row(params![owner, name], |row| row.get(0)).optional());
            let ids: Vec<Option<i64>> = ids.collect::<Result<_, _>>()?;
            return ids.into_iter().collect::<Option<_>>().map(Some).ok_or(Error::NoStream);
        }
        if filter.prefix.is_empty() {
            return Ok(None);
        }
        let sql = "SELECT id FROM streams WHERE owner = ?1 AND name >= ?2 AND substr(name, 1, length(?2)) = ?2";
        let mut find = connection.prepare_cached(sql)?;
        let ids = find.query_map(params![owner, filter.prefix], |row| row.get(0))?;
        Ok(Some(ids.collect::<Result<_, _>>()?))
    }

    /// The streams of a group, and where to go on.
    pub fn streams(&self, group: &Group, asked: &Streams) -> Result<(Vec<Stream>, Option<String>), Error> {
        let (after_last, after_name) = match asked.after.as_deref().map(|token| token.split_once('/')) {
            None => (None, None),
            Some(Some((last, name))) => (last.parse::<i64>().ok(), Some(name.to_owned())),
            Some(None) => return Err(bad_token()),
        };
        if after_name.is_some() && after_last.is_none() {
            return Err(bad_token());
        }
        let way = if asked.descending { "DESC" } else { "ASC" };
        let beyond = if asked.descending { "<" } else { ">" };
        let (key, order) = match asked.order {
            Order::Name => ("(0, name)", format!("name {way}")),
            Order::Last => ("(coalesce(last, 0), name)", format!("coalesce(last, 0) {way}, name {way}")),
        };
        let sql = format!(
            "SELECT name, created, first, last, ingested FROM (SELECT name, created, ingested, \
             (SELECT min(b.first) FROM blocks b WHERE b.stream = s.id) AS first, \
             (SELECT max(b.last) FROM blocks b WHERE b.stream = s.id) AS last FROM streams s \
             WHERE owner = ?1 AND name >= ?2 AND substr(name, 1, length(?2)) = ?2) \
             WHERE ?4 IS NULL OR {key} {beyond} (?3, ?4) ORDER BY {order} LIMIT ?5"
        );
        self.with(|connection| {
            let Some(owner) = owner(connection, group)? else { return Ok((Vec::new(), None)) };
            let mut find = connection.prepare_cached(&sql)?;
            let values = params![owner, asked.prefix, after_last, after_name, asked.limit as i64 + 1];
            let rows = find.query_map(values, |row| {
                let time = |at: usize| row.get::<_, Option<i64>>(at).map(|time| time.map(|time| time as Millis));
                let created = time(1)?.unwrap_or_default();
                Ok(Stream { name: row.get(0)?, created, first: time(2)?, last: time(3)?, ingested: time(4)? })
            })?;
            let mut streams: Vec<Stream> = rows.collect::<Result<_, _>>()?;
            let more = streams.len() > asked.limit;
            streams.truncate(asked.limit);
            let next = streams.last().filter(|_| more).map(|stream| match asked.order {
                Order::Name => format!("0/{}", stream.name),
                Order::Last => format!("{}/{}", stream.last.unwrap_or(0), stream.name),
            });
            Ok((streams, next))
        })
    }
}

fn owner(connection: &Connection, group: &Group) -> Result<Option<i64>, Error> {
    let mut find = connection.prepare_cached("SELECT id FROM groups WHERE key = ?1")?;
    Ok(find.query_row([&group[..]], |row| row.get(0)).optional()?)
}

fn bad_token() -> Error {
    Error::Invalid("The specified nextToken is invalid.".to_owned())
}

fn read_after(token: &str) -> Result<(Millis, i64, i64), Error> {
    if token.len() != 48 || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(bad_token());
    }
    let number = |part: &str| i64::from_str_radix(part, 16).map_err(|_| bad_token());
    Ok((number(&token[..16])? as Millis, number(&token[16..32])?, number(&token[32..])?))
}

/// A page of one stream on its way.
struct Gathered {
    limit: usize,
    bytes: usize,
    events: Vec<(Place, Event)>,
}

impl Gathered {
    fn take(&mut self, seen: &Seen<'_>) -> ControlFlow<()> {
        let size = seen.block.message(seen.entry).len() + EVENT_OVERHEAD_BYTES;
        if self.events.len() >= self.limit || (self.bytes + size > BATCH_BYTES_MAX && !self.events.is_empty()) {
            return ControlFlow::Break(());
        }
        self.bytes += size;
        self.events.push((Place { at: seen.entry.at, seq: seen.seq }, seen.block.event(seen.entry)));
        ControlFlow::Continue(())
    }

    fn finish(self, start: Token) -> Page {
        let (Token::Forward(begin) | Token::Backward(begin)) = start;
        let after = |place: Place| Place { seq: place.seq.saturating_add(1), ..place };
        let forward = self.events.last().map_or(begin, |(place, _)| after(*place));
        let backward = self.events.first().map_or(begin, |(place, _)| *place);
        let events = self.events.into_iter().map(|(_, event)| event).collect();
        Page { events, forward: Token::Forward(forward), backward: Token::Backward(backward) }
    }
}

/// The earliest that a block with something from `at` on may begin.
fn earliest(at: Millis) -> i64 {
    at.saturating_sub(BLOCK_SPAN_MS) as i64
}
