//! `node::Hands` on Linux: the container runtime and the network, joined. A task's namespace is made by one and used by
//! the other, and is removed only when the other is done with it.

use super::shipper::Shipper;
use network::{Network, NetworkError};
use node::hands::{Attachment, Command, Event, Hands, TaskKey};
use runtime::Runtime;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The hands of a node.
pub struct LinuxHands {
    runtime: Arc<Runtime>,
    network: Network,
    shipper: Shipper,
    attaching: HashMap<TaskKey, JoinHandle<()>>,
    sender: mpsc::UnboundedSender<Event>,
    events: mpsc::UnboundedReceiver<Event>,
}

impl LinuxHands {
    /// Hands made of both.
    pub fn new(runtime: Arc<Runtime>, network: Network, shipper: Shipper) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        Self { runtime, network, shipper, attaching: HashMap::new(), sender, events }
    }

    /// Who ships what containers print.
    pub fn shipper(&self) -> &Shipper {
        &self.shipper
    }

    /// Has a task's directory deleted once its output is shipped.
    fn forget(&self, task: TaskKey) {
        let (shipped, runtime) = (self.shipper.finish(&task), self.runtime.clone());
        tokio::spawn(async move {
            let _ = shipped.await;
            runtime.perform(Command::Forget { task });
        });
    }

    /// The next event of the network's side.
    pub async fn next_event(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            // Never: this holds a sender.
            None => std::future::pending().await,
        }
    }

    /// Removes a task's namespace, after an attachment that may still be on its way; then it is released.
    pub fn detach(&mut self, task: TaskKey) {
        let attaching = self.attaching.remove(&task);
        let (network, sender) = (self.network.clone(), self.sender.clone());
        tokio::spawn(async move {
            if let Some(attaching) = attaching {
                let _ = attaching.await;
            }
            while let Err(error) = network.detach(&task).await {
                tracing::error!(%task, error = in_full(&error), "a namespace cannot be removed; it is tried again");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
            let _ = sender.send(Event::Released { task });
        });
    }

    fn attach(&mut self, task: TaskKey, attachment: Attachment) {
        let (network, sender, key) = (self.network.clone(), self.sender.clone(), task.clone());
        let attaching = tokio::spawn(async move {
            let event = match network.join(&task, attachment).await {
                Ok(containers) => Event::NetworkReady { task, containers },
                Err(error) => Event::NetworkFailed { task, message: in_full(&error) },
            };
            let _ = sender.send(event);
        });
        self.attaching.insert(key, attaching);
    }
}

impl Hands for LinuxHands {
    fn perform(&mut self, command: Command) {
        match command {
            Command::AttachNetwork { task, attachment } => self.attach(task, attachment),
            Command::Forget { task } => self.forget(task),
            command => self.runtime.perform(command),
        }
    }
}

fn in_full(error: &NetworkError) -> String {
    use std::error::Error;
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
