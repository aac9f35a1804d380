//! Orders to the node of this host over its socket, and the lines of JSON that it answers.

use anyhow::{Context, Result, bail};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::path::Path;
use tokio::net::UnixStream;

/// What goes with an order.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Nothing goes with it.
pub fn empty() -> Body {
    Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync()
}

/// Sends an order and gives each line of the answer to `each`. A line that tells of an error is the order's failure.
pub async fn ask(data_dir: &Path, method: Method, path: String, body: Body, mut each: impl FnMut(Value)) -> Result<()> {
    let told = || format!("no node is running on {}: start it with `gantry up`", data_dir.display());
    let stream = UnixStream::connect(data_dir.join("node.sock")).await.with_context(told)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header("host", "node").body(body)?;
    let mut answer = sender.send_request(request).await?.into_body();
    let mut text = Vec::new();
    while let Some(frame) = answer.frame().await {
        text.extend_from_slice(frame?.data_ref().map_or(&[][..], |data| data));
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            let value: Value = serde_json::from_slice(&line).context("the node answered oddly")?;
            if let Some(error) = value.get("error").and_then(Value::as_str) {
                bail!("{error}");
            }
            each(value);
        }
    }
    Ok(())
}
