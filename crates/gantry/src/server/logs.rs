//! Requests of CloudWatch Logs. Groups are state and decided by the core; streams and events are kept by `telemetry`, for
//! which the core is asked one thing first: which group is meant, and whether the caller may.

use super::core::Handle;
use crate::clock::Clock;
use anyhow::{Context, Result};
use control::{Caller, LogAccess, LogQuestion};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use telemetry::{Error, Filter, Keep, Order, Pattern, Reader, Stream, Streams, Token, Writer};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use wire::http::{Answer, Call};
use wire::logs::{self, Request, Response};
use wire::{ClosedEnum, Fault};

/// Batches of events in memory at once, a mebibyte each.
const BATCHES_MAX: usize = 32;
/// Readers at once; each may hold some megabytes.
const READERS_MAX: usize = 8;
/// Between looks for what is kept no longer.
const SWEEP: Duration = Duration::from_secs(3600);
/// Events of one page.
const PAGE_MAX: usize = 10_000;
/// Streams of one page.
const STREAMS_MAX: usize = 50;
/// The end of time, as the store counts it.
const NEVER: u64 = i64::MAX as u64;

/// Answers requests of CloudWatch Logs.
pub struct Logs {
    writer: Writer,
    reader: Arc<Reader>,
    core: Handle,
    clock: Clock,
    batches: Semaphore,
    bodies: Semaphore,
    readers: Semaphore,
}

impl Logs {
    /// Opens the store of events, and sees that nothing is kept there that should have gone.
    pub fn open(path: &Path, core: Handle, clock: Clock) -> Result<Arc<Self>> {
        let (writer, reader) = telemetry::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let places = Semaphore::new;
        let logs = Arc::new(Self {
            writer,
            reader: Arc::new(reader),
            core,
            clock,
            batches: places(BATCHES_MAX),
            bodies: places(BATCHES_MAX),
            readers: places(READERS_MAX),
        });
        let sweeping = Arc::downgrade(&logs);
        tokio::spawn(async move {
            let mut interval = tokio::time::interval(SWEEP);
            loop {
                interval.tick().await;
                let Some(logs) = sweeping.upgrade() else { return };
                logs.sweep().await;
            }
        });
        Ok(logs)
    }

    /// A place for a body that is larger than other requests'.
    pub async fn large_body(&self) -> Option<SemaphorePermit<'_>> {
        self.bodies.acquire().await.ok()
    }

    /// Deletes what is kept of groups that are gone, and events that are older than their group keeps them. The store is
    /// asked before the core: a group that is made in between is not taken for one that is gone.
    async fn sweep(&self) {
        let (reply, kept) = oneshot::channel();
        self.writer.groups(Box::new(move |groups| drop(reply.send(groups))));
        let (Ok(Ok(kept)), Some(known)) = (kept.await, self.core.log_groups().await) else { return };
        let known: HashMap<[u8; 16], Option<u64>> =
            known.iter().map(|group| (group.id.0, group.retention_ms)).collect();
        let now = self.clock.now();
        let keep = kept.into_iter().filter_map(|group| match known.get(&group) {
            None => Some(Keep::Nothing(group)),
            Some(None) => None,
            Some(Some(retention)) => Some(Keep::Since(group, now.saturating_sub(*retention))),
        });
        self.writer.keep(keep.collect());
    }

    /// Answers a request.
    pub async fn answer(
        self: &Arc<Self>,
        caller: Caller,
        request: Request,
        received: Instant,
    ) -> Result<Response, Fault> {
        let operation = request.operation();
        match request {
            Request::CreateLogStream(input) => {
                let stream = Some(input.log_stream_name.clone());
                let group = self.ask(caller, operation, Some(input.log_group_name), None, stream).await?;
                self.create_stream(&group, input.log_stream_name).await
            }
            Request::DeleteLogStream(input) => {
                let stream = input.log_stream_name;
                let group = self.ask(caller, operation, Some(input.log_group_name), None, None).await?;
                let answer = self.write(|logs, reply| logs.writer.delete_stream(group.id.0, stream, reply));
                answer.await.map(|()| Response::DeleteLogStream(Box::default()))
            }
            Request::PutLogEvents(input) => {
                let stream = Some(input.log_stream_name.clone());
                let group = self.ask(caller, operation, Some(input.log_group_name.clone()), None, stream).await?;
                self.put_events(&group, *input).await
            }
            Request::GetLogEvents(input) => {
                let (name, identifier) = (input.log_group_name.clone(), input.log_group_identifier.clone());
                let group = self.ask(caller, operation, name, identifier, None).await?;
                self.get_events(group, *input).await
            }
            Request::FilterLogEvents(input) => {
                let (name, identifier) = (input.log_group_name.clone(), input.log_group_identifier.clone());
                let group = self.ask(caller, operation, name, identifier, None).await?;
                self.filter_events(group, *input).await
            }
            Request::DescribeLogStreams(input) => {
                let (name, identifier) = (input.log_group_name.clone(), input.log_group_identifier.clone());
                let group = self.ask(caller, operation, name, identifier, None).await?;
                self.describe_streams(group, *input).await
            }
            other => {
                let sweeps = matches!(other, Request::DeleteLogGroup(_) | Request::PutRetentionPolicy(_));
                let answer = self.core.request(caller, Call::Logs(other), received).await?;
                if sweeps {
                    let logs = self.clone();
                    tokio::spawn(async move { logs.sweep().await });
                }
                match answer {
                    Answer::Logs(response) => Ok(response),
                    _ => Err(Fault::new("InternalFailure", 500, "another service answered")),
                }
            }
        }
    }

    async fn ask(
        &self,
        caller: Caller,
        operation: logs::Operation,
        name: Option<String>,
        identifier: Option<String>,
        stream: Option<String>,
    ) -> Result<LogAccess, Fault> {
        let group = match (name, identifier) {
            (Some(group), None) | (None, Some(group)) => group,
            _ => {
                let message = "Name the log group by either logGroupName or logGroupIdentifier.";
                return Err(logs::fault::invalid_parameter(message));
            }
        };
        self.core.log_access(caller, LogQuestion { operation, group, stream }).await
    }

    /// Has the writing thread do something; its answer, when it is durable.
    async fn write<T: Send + 'static>(&self, order: impl FnOnce(&Self, telemetry::Reply<T>)) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        order(self, Box::new(move |done| drop(reply.send(done))));
        let gone = || Error::Store("its thread has ended".to_owned());
        answer.await.unwrap_or_else(|_| Err(gone())).map_err(fault)
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Fault> {
        let _place = self.readers.acquire().await;
        let reader = self.reader.clone();
        let done = tokio::task::spawn_blocking(move || read(&reader)).await;
        done.unwrap_or_else(|error| Err(Error::Store(error.to_string()))).map_err(fault)
    }

    async fn create_stream(&self, group: &LogAccess, name: String) -> Result<Response, Fault> {
        if !model::log::is_valid_stream(&name) {
            let message = "logStreamName: 1 to 512 characters without : and * are allowed.";
            return Err(logs::fault::invalid_parameter(message));
        }
        let (id, now) = (group.id.0, self.clock.now());
        self.write(|logs, reply| logs.writer.create_stream(id, name, now, reply)).await?;
        Ok(Response::CreateLogStream(Box::default()))
    }

    async fn put_events(&self, group: &LogAccess, input: logs::PutLogEventsRequest) -> Result<Response, Fault> {
        let _place = self.batches.acquire().await;
        let time = |at: i64| u64::try_from(at).unwrap_or(0);
        let events = input.log_events.into_iter().map(|event| (time(event.timestamp), event.message)).collect();
        let (place, rules) = ((group.id.0, input.log_stream_name), (self.clock.now(), group.retention_ms));
        let done = self.write(|logs, reply| logs.writer.append(place, rules, events, reply)).await?;
        let index = |at: Option<usize>| at.and_then(|at| i32::try_from(at).ok());
        let rejected = logs::RejectedLogEventsInfo {
            too_new_log_event_start_index: index(done.rejected.too_new_from),
            too_old_log_event_end_index: index(done.rejected.too_old_before),
            expired_log_event_end_index: index(done.rejected.expired_before),
        };
        let any = done.rejected != telemetry::Rejected::default();
        // Entities have no engine: the events are taken, and the answer says that the entity was not.
        let rejected_entity_info = input.entity.map(|_| logs::RejectedEntityInfo {
            error_type: logs::EntityRejectionErrorType::find("UnsupportedLogGroupType"),
        });
        Ok(Response::PutLogEvents(Box::new(logs::PutLogEventsResponse {
            next_sequence_token: None,
            rejected_log_events_info: any.then_some(rejected),
            rejected_entity_info,
        })))
    }

    /// The times that are asked for, without what the group keeps no longer.
    fn range(&self, group: &LogAccess, start: Option<i64>, end: Option<u64>) -> (u64, u64) {
        let kept_from = group.retention_ms.map_or(0, |kept| self.clock.now().saturating_sub(kept));
        let start = start.and_then(|start| u64::try_from(start).ok()).unwrap_or(0);
        (start.max(kept_from), end.unwrap_or(NEVER).min(NEVER))
    }

    async fn get_events(&self, group: LogAccess, input: logs::GetLogEventsRequest) -> Result<Response, Fault> {
        let end = input.end_time.and_then(|end| u64::try_from(end).ok());
        let range = self.range(&group, input.start_time, end);
        let invalid = || logs::fault::invalid_parameter("The specified nextToken is invalid.");
        let token = match input.next_token.as_deref() {
            Some(token) => Some(Token::parse(token).ok_or_else(invalid)?),
            None => None,
        };
        let (limit, head) = (limit(input.limit, PAGE_MAX), input.start_from_head == Some(true));
        let name = input.log_stream_name;
        let page = self.read(move |reader| reader.stream((&group.id.0, &name), range, (token, head), limit)).await?;
        let event = |event: telemetry::Event| logs::OutputLogEvent {
            timestamp: Some(event.at as i64),
            message: Some(event.message),
            ingestion_time: Some(event.ingested as i64),
        };
        Ok(Response::GetLogEvents(Box::new(logs::GetLogEventsResponse {
            events: Some(page.events.into_iter().map(event).collect()),
            next_forward_token: Some(page.forward.to_string()),
            next_backward_token: Some(page.backward.to_string()),
        })))
    }

    async fn filter_events(&self, group: LogAccess, input: logs::FilterLogEventsRequest) -> Result<Response, Fault> {
        let prefix = input.log_stream_name_prefix.unwrap_or_default();
        if input.log_stream_names.is_some() && !prefix.is_empty() {
            let message = "logStreamNames and logStreamNamePrefix are mutually exclusive parameters.";
            return Err(logs::fault::invalid_parameter(message));
        }
        if input.start_from_head == Some(false) {
            return Err(logs::fault::invalid_parameter("not supported yet: startFromHead (false)."));
        }
        // The end is part of the range here.
        let end = input.end_time.and_then(|end| u64::try_from(end).ok()).map(|end| end.saturating_add(1));
        let (from, to) = self.range(&group, input.start_time, end);
        let filter = Filter {
            names: input.log_stream_names,
            prefix,
            from,
            to,
            pattern: Pattern::parse(input.filter_pattern.as_deref().unwrap_or_default()).map_err(fault)?,
            after: input.next_token,
            limit: limit(input.limit, PAGE_MAX),
        };
        let found = self.read(move |reader| reader.filter(&group.id.0, &filter)).await?;
        let event = |(stream, id, event): (String, String, telemetry::Event)| logs::FilteredLogEvent {
            log_stream_name: Some(stream),
            timestamp: Some(event.at as i64),
            message: Some(event.message),
            ingestion_time: Some(event.ingested as i64),
            event_id: Some(id),
        };
        Ok(Response::FilterLogEvents(Box::new(logs::FilterLogEventsResponse {
            events: Some(found.events.into_iter().map(event).collect()),
            // As on AWS today: always empty.
            searched_log_streams: Some(Vec::new()),
            next_token: found.next,
        })))
    }

    async fn describe_streams(
        &self,
        group: LogAccess,
        input: logs::DescribeLogStreamsRequest,
    ) -> Result<Response, Fault> {
        let by_time = input.order_by == Some(logs::OrderBy::LastEventTime);
        let prefix = input.log_stream_name_prefix.unwrap_or_default();
        if by_time && !prefix.is_empty() {
            let message = "Cannot order by LastEventTime with a logStreamNamePrefix.";
            return Err(logs::fault::invalid_parameter(message));
        }
        let asked = Streams {
            prefix,
            order: if by_time { Order::Last } else { Order::Name },
            descending: input.descending == Some(true),
            after: input.next_token,
            limit: limit(input.limit, STREAMS_MAX),
        };
        let id = group.id.0;
        let (streams, next_token) = self.read(move |reader| reader.streams(&id, &asked)).await?;
        let shown = |stream: Stream| logs::LogStream {
            arn: Some(format!("{}:log-stream:{}", group.arn, stream.name)),
            log_stream_name: Some(stream.name),
            creation_time: Some(stream.created as i64),
            first_event_timestamp: stream.first.map(|at| at as i64),
            last_event_timestamp: stream.last.map(|at| at as i64),
            last_ingestion_time: stream.ingested.map(|at| at as i64),
            // AWS no longer counts what a stream holds.
            stored_bytes: Some(0),
            ..logs::LogStream::default()
        };
        let log_streams = Some(streams.into_iter().map(shown).collect());
        Ok(Response::DescribeLogStreams(Box::new(logs::DescribeLogStreamsResponse { log_streams, next_token })))
    }
}

fn limit(asked: Option<i32>, largest: usize) -> usize {
    asked.and_then(|asked| usize::try_from(asked).ok()).map_or(largest, |asked| asked.clamp(1, largest))
}

fn fault(error: Error) -> Fault {
    let message = error.to_string();
    match error {
        Error::NoStream => logs::fault::resource_not_found(message),
        Error::StreamExists => logs::fault::resource_already_exists(message),
        Error::Invalid(message) => logs::fault::invalid_parameter(message),
        Error::Store(_) => logs::fault::service_unavailable(message),
    }
}
