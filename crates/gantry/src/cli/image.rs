//! `gantry image load|pull|ls|rm`: images of the node on this machine, over its socket.

use super::node_socket::{self, Body, empty};
use crate::data_dir;
use crate::endpoint::escape;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use futures_util::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::Method;
use hyper::body::{Bytes, Frame};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::Value;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::sync::mpsc;

/// Images of this node
#[derive(Subcommand)]
pub enum Image {
    /// Load the images of a docker or OCI archive
    Load {
        /// The archive, plain or compressed; - for standard input
        archive: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Fetch an image from its registry
    Pull {
        /// Its name: nginx, ghcr.io/team/app:1, registry:5000/app@sha256:…
        reference: String,
        #[command(flatten)]
        place: Place,
    },
    /// List images
    Ls {
        #[command(flatten)]
        place: Place,
    },
    /// Forget an image, and delete what nothing else needs
    Rm {
        /// Its name
        reference: String,
        #[command(flatten)]
        place: Place,
    },
}

/// Where the node is, and how to print.
#[derive(Args)]
pub struct Place {
    /// The node's data directory
    #[arg(long, default_value = data_dir::DEFAULT)]
    data_dir: PathBuf,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: super::Output,
}

impl Image {
    /// Does it.
    pub fn run(self) -> Result<ExitCode> {
        super::block_on(async {
            match self {
                Self::Load { archive, place } => {
                    let images = place.ask(Method::POST, "/load".to_owned(), file_body(archive)?).await?;
                    place.print_names("loaded", &images);
                }
                Self::Pull { reference, place } => {
                    let path = format!("/pull?reference={}", escape(&reference));
                    let images = place.ask(Method::POST, path, empty()).await?;
                    place.print_names("pulled", &images);
                }
                Self::Ls { place } => {
                    let images = place.ask(Method::GET, "/".to_owned(), empty()).await?;
                    place.print_table(&images);
                }
                Self::Rm { reference, place } => {
                    let path = format!("/?reference={}", escape(&reference));
                    let images = place.ask(Method::DELETE, path, empty()).await?;
                    place.print_names("removed", &images);
                }
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// A file as a body, read on a thread of its own while it is sent.
fn file_body(path: PathBuf) -> Result<Body> {
    let mut file: Box<dyn Read + Send> = match path.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(std::fs::File::open(&path).with_context(|| format!("cannot read {}", path.display()))?),
    };
    let (sender, receiver) = mpsc::channel::<std::io::Result<Bytes>>(8);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let chunk = match file.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => Ok(Bytes::copy_from_slice(&buffer[..length])),
                Err(error) => Err(error),
            };
            let failed = chunk.is_err();
            if sender.blocking_send(chunk).is_err() || failed {
                return;
            }
        }
    });
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let chunk = receiver.recv().await?;
        Some((chunk.map(Frame::data), receiver))
    });
    Ok(BodyExt::boxed_unsync(StreamBody::new(stream.boxed())))
}

impl Place {
    /// Sends an order and shows its progress; the images it ended with.
    async fn ask(&self, method: Method, path: String, body: Body) -> Result<Vec<Value>> {
        let (mut images, mut progress) = (Vec::new(), Progress::new(self.output));
        let asked = node_socket::ask(&self.data_dir, method, path, body, |line| {
            progress.show(&line);
            images.extend(line.get("image").cloned());
        });
        let asked = asked.await;
        progress.end();
        asked.map(|()| images)
    }

    fn print_names(&self, verb: &str, images: &[Value]) {
        for image in images {
            match self.output {
                super::Output::Json => println!("{image}"),
                super::Output::Text => println!("{verb} {}", text(image, "reference")),
            }
        }
    }

    fn print_table(&self, images: &[Value]) {
        if self.output == super::Output::Json {
            println!("{}", Value::Array(images.to_vec()));
            return;
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["IMAGE", "DIGEST", "SIZE", "FROM"]);
        for image in images {
            let bytes = image.get("bytes").and_then(Value::as_u64).unwrap_or(0);
            let loaded = image.get("loaded").and_then(Value::as_bool) == Some(true);
            let digest: String = text(image, "digest").chars().take(19).collect();
            table.add_row([
                text(image, "reference"),
                digest,
                HumanBytes(bytes).to_string(),
                if loaded { "archive" } else { "registry" }.to_owned(),
            ]);
        }
        println!("{table}");
    }
}

fn text(value: &Value, member: &str) -> String {
    value.get(member).and_then(Value::as_str).unwrap_or("<none>").to_owned()
}

/// Progress: a bar on a terminal, a line for each tenth otherwise, nothing for scripts.
struct Progress {
    bar: Option<ProgressBar>,
    lines: bool,
    tenth: u64,
}

impl Progress {
    fn new(output: super::Output) -> Self {
        let people = output == super::Output::Text;
        let terminal = std::io::stderr().is_terminal();
        let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {eta}").ok();
        let bar =
            (people && terminal).then(|| ProgressBar::new(0)).zip(style).map(|(bar, style)| bar.with_style(style));
        Self { bar, lines: people && !terminal, tenth: 0 }
    }

    fn show(&mut self, value: &Value) {
        let Some(progress) = value.get("progress") else { return };
        let number = |member: &str| progress.get(member).and_then(Value::as_u64).unwrap_or(0);
        let (done, total) = (number("done"), number("total"));
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
        }
        let tenth = (done * 10).checked_div(total).unwrap_or(0);
        if self.lines && tenth > self.tenth {
            self.tenth = tenth;
            eprintln!("{} of {}", HumanBytes(done), HumanBytes(total));
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
