//! The telemetry session: carries what the node publishes. It is opened again whenever it ends, and the control session
//! does not wait for it.

use super::uplink::{FromUplink, RETRY_MIN, SILENCE, Socket, connect, pause};
use crate::client::Client;
use crate::endpoint::Endpoint;
use anyhow::{Result, bail};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

/// Keeps a session open; never ends.
pub(super) async fn keep(
    client: &Client,
    endpoint: &Endpoint,
    query: &str,
    sender: &mpsc::UnboundedSender<FromUplink>,
    to_publish: &mut mpsc::UnboundedReceiver<String>,
) {
    let mut wait = RETRY_MIN;
    loop {
        let ended = match connect(client, endpoint, query).await {
            Ok(mut socket) => {
                wait = RETRY_MIN;
                // What waited for a session is said again, as it is now.
                while to_publish.try_recv().is_ok() {}
                let _ = sender.send(FromUplink::Listening);
                carry(&mut socket, to_publish).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::warn!(error = format!("{error:#}"), "no telemetry session");
        }
        pause(&mut wait).await;
    }
}

async fn carry(socket: &mut Socket, to_publish: &mut mpsc::UnboundedReceiver<String>) -> Result<()> {
    loop {
        tokio::select! {
            frame = to_publish.recv() => match frame {
                Some(frame) => socket.send(Message::text(frame)).await?,
                None => return Ok(()),
            },
            heard = tokio::time::timeout(SILENCE, socket.next()) => match heard {
                Err(_) => bail!("the control plane was silent for {} s", SILENCE.as_secs()),
                Ok(Some(Ok(Message::Close(_))) | None) => return Ok(()),
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(error))) => return Err(error.into()),
            },
        }
    }
}
