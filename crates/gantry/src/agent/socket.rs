//! The node's socket `node.sock` (mode 0600): HTTP on a unix socket, for the command line on the same host.
//!
//! `POST /load` takes an image archive; `POST /pull?reference=…` fetches; `GET /` lists; `DELETE /?reference=…` forgets.
//! `GET /usage` tells what each task has used of the host.
//! Answers are lines of JSON: progress while it goes on, then the result or `{"error": …}`.

use super::Order;
use crate::endpoint::unescape;
use anyhow::{Context, Result};
use futures_util::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use runtime::Runtime;
use runtime::image::{ImageLine, ImageStore};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::fs::{File, Permissions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

type Lines = mpsc::UnboundedSender<Value>;
type Body = StreamBody<futures_util::stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

/// Serves the socket in `directory` until the process ends.
pub fn serve(directory: &Path, runtime: Arc<Runtime>, machine: mpsc::UnboundedSender<Order>) -> Result<()> {
    let path = &directory.join("node.sock");
    let told = || format!("cannot make the socket {}", path.display());
    // The lock on the directory is ours: a socket that is there is a dead process's.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).with_context(told),
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(told)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).with_context(told)?;
    let directory: Arc<Path> = directory.into();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (runtime, machine, directory) = (runtime.clone(), machine.clone(), directory.clone());
            tokio::spawn(async move {
                let service =
                    service_fn(move |request| answer(request, directory.clone(), runtime.clone(), machine.clone()));
                let server = hyper::server::conn::http1::Builder::new();
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(())
}

async fn answer(
    request: Request<Incoming>,
    directory: Arc<Path>,
    runtime: Arc<Runtime>,
    machine: mpsc::UnboundedSender<Order>,
) -> Result<Response<Body>, Infallible> {
    let (lines, receiver) = mpsc::unbounded_channel();
    let reference = request.uri().query().and_then(|query| query.strip_prefix("reference=")).map(unescape);
    let images = runtime.images().clone();
    match (request.method(), request.uri().path(), reference) {
        (&Method::GET, "/", _) => list(&images, &lines),
        (&Method::GET, "/usage", _) => usage(&runtime, &lines),
        (&Method::POST, "/load", _) => drop(tokio::spawn(load(request, directory, images, lines))),
        (&Method::POST, "/pull", Some(reference)) => drop(tokio::spawn(pull(reference, images, lines))),
        (&Method::DELETE, "/", Some(reference)) => drop(tokio::spawn(remove(reference, images, machine, lines))),
        _ => {
            let _ = lines.send(json!({"error": "no such order"}));
        }
    }
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let line: Value = receiver.recv().await?;
        Some((Ok(Frame::data(Bytes::from(format!("{line}\n")))), receiver))
    });
    let mut response = Response::new(StreamBody::new(stream.boxed()));
    *response.status_mut() = StatusCode::OK;
    Ok(response)
}

fn shown(line: &ImageLine) -> Value {
    json!({"reference": line.reference, "digest": line.digest, "bytes": line.bytes, "loaded": line.loaded})
}

fn list(images: &ImageStore, lines: &Lines) {
    for line in images.list() {
        let _ = lines.send(json!({"image": shown(&line)}));
    }
}

fn usage(runtime: &Runtime, lines: &Lines) {
    for (task, usage) in runtime.usage() {
        let _ = lines.send(json!({"usage": {
            "task": task, "cpuNs": usage.cpu_ns, "memoryBytes": usage.memory_bytes, "memoryLimit": usage.memory_limit,
            "processes": usage.processes,
        }}));
    }
}

fn finish<E: std::error::Error>(lines: &Lines, result: Result<Vec<Value>, E>) {
    match result {
        Ok(images) => images.into_iter().for_each(|image| drop(lines.send(json!({"image": image})))),
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            let _ = lines.send(json!({"error": text}));
        }
    }
}

/// The archive goes to a file without a name first: its members are needed out of order.
async fn load(request: Request<Incoming>, directory: Arc<Path>, images: Arc<ImageStore>, lines: Lines) {
    let spooled = spool(&directory, request.into_body()).await;
    let loaded = tokio::task::spawn_blocking(move || -> Result<Vec<Value>> {
        let mut file = spooled?;
        file.seek(SeekFrom::Start(0))?;
        let loaded = images.load(file)?;
        Ok(loaded.into_iter().map(|image| json!({"reference": image.reference, "digest": image.digest})).collect())
    });
    let result = loaded.await.unwrap_or_else(|error| Err(error.into()));
    finish(&lines, result.map_err(AnyError));
}

/// `anyhow` errors as plain ones, with their causes.
#[derive(Debug)]
struct AnyError(anyhow::Error);

impl std::fmt::Display for AnyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for AnyError {}

async fn spool(directory: &Path, mut body: Incoming) -> Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(directory, flags, Mode::from_raw_mode(0o600));
    let mut file = File::from(file.with_context(|| format!("cannot make a file in {}", directory.display()))?);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            file.write_all(&data)?;
        }
    }
    Ok(file)
}

async fn pull(reference: String, images: Arc<ImageStore>, lines: Lines) {
    let progress = |progress: runtime::image::Progress| {
        let _ = lines.send(json!({"progress": {"done": progress.done, "total": progress.total}}));
    };
    let pulled = images.pull(&reference, &progress).await;
    let shown = |image: runtime::image::Image| {
        vec![json!({"reference": reference, "digest": image.digest, "bytes": image.bytes})]
    };
    finish(&lines, pulled.map(shown));
}

async fn remove(reference: String, images: Arc<ImageStore>, machine: mpsc::UnboundedSender<Order>, lines: Lines) {
    let (reply, in_use) = oneshot::channel();
    let _ = machine.send(Order::ImagesInUse(reply));
    let Ok(in_use) = in_use.await else { return };
    let name = reference.clone();
    let removed = tokio::task::spawn_blocking(move || images.remove(&name, &in_use)).await;
    match removed {
        Ok(result) => finish(&lines, result.map(|()| vec![json!({"reference": reference})])),
        Err(error) => finish(&lines, Err::<Vec<Value>, _>(error)),
    }
}
