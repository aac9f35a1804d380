//! The other world: the production control plane and nodes in virtual time, with fake hands, disk, network, clock and
//! clients, and with checkers that read what the fake hosts truly run. One seed fixes everything; the same seed gives
//! the same trace, byte for byte.
//!
//! ```text
//! fault phase: a workload under crashes, partitions, losses, slow and failing commits   -> safety
//! healing phase: everything up, nothing fails, the workload rests                       -> liveness
//! ```
//!
//! It imitates hands and never brains: no decision of `control` or `node` is repeated here.
#![forbid(unsafe_code)]

mod agenda;
mod agent;
mod asks;
mod checks;
mod clients;
mod clocks;
mod disk;
mod faults;
mod fleet;
mod hands;
mod healing;
mod host;
mod keeper;
mod operations;
mod oracle;
mod plane;
mod planted;
mod promises;
mod random;
mod script;
mod services;
mod sets;
mod told;
mod trace;
mod weather;
mod wires;
mod words;
mod world;
mod zones;

pub use planted::Planted;
pub use script::{ScriptError, play};

use agenda::Event;
use fleet::PROVIDERS;
use random::Stream;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use weather::Weather;
use world::{START, World};
use zones::ZONES;

/// What may be chosen beside the seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Keep the whole trace, not only its end.
    pub keep_trace: bool,
    /// A bug that is put in on purpose, for the checkers to find.
    pub planted: Option<Planted>,
}

/// A run in which nothing was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Lines of the trace.
    pub events: u64,
    /// Hash of the whole trace.
    pub trace_hash: u64,
    /// Virtual milliseconds.
    pub elapsed_ms: u64,
    /// Answers that clients heard.
    pub answers: u64,
    /// Batches that became durable.
    pub batches: u64,
    /// The trace, if it was to be kept.
    pub trace: Vec<String>,
}

/// A run in which something was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The name of the broken invariant.
    pub invariant: String,
    /// Where.
    pub detail: String,
    /// The bug that was put in on purpose.
    pub planted: Option<Planted>,
    /// The trace, or its end.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "seed {}: broken: {}", self.seed, self.invariant)?;
        writeln!(f, "  {}", self.detail)?;
        let planted = self.planted.map(|planted| format!(" --planted {planted}")).unwrap_or_default();
        write!(f, "replay: cargo xtask sim --seed {} --trace{planted}", self.seed)
    }
}

impl std::error::Error for Failure {}

/// Runs the world of `seed` through its phases.
pub fn run(seed: u64, options: &Options) -> Result<Outcome, Box<Failure>> {
    let mut shape = Stream::new(seed, "shape");
    let sizes: Vec<(u32, u32)> =
        (0..shape.between((1, 4))).map(|_| *shape.pick(&[(1024, 2048), (2048, 4096), (4096, 16_384)])).collect();
    let weather = Weather::draw(&mut Stream::new(seed, "weather"));
    let mut world = World::new(seed, weather, &sizes, options.keep_trace);
    world.planted = options.planted;
    let mut owners = Stream::new(seed, "providers");
    let mut places = Stream::new(seed, "zones");
    for agent in &mut world.agents {
        agent.provider = *owners.pick(&[None, Some(PROVIDERS[0]), Some(PROVIDERS[1])]);
        agent.zone = *places.pick(&ZONES);
    }
    let panicked = catch_unwind(AssertUnwindSafe(|| phases(&mut world, &mut shape))).err();
    if let Some(panic) = panicked {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words");
        world.fail("production code never panics", text.to_owned());
    }
    match world.broken.take() {
        Some(broken) => Err(Box::new(Failure {
            seed,
            invariant: broken.invariant,
            detail: broken.detail,
            planted: options.planted,
            trace: if options.keep_trace { world.trace.take() } else { world.trace.tail() },
        })),
        None => Ok(Outcome {
            seed,
            events: world.trace.lines(),
            trace_hash: world.trace.hash(),
            elapsed_ms: world.elapsed_ms(),
            answers: world.clients.answers,
            batches: world.disk.index,
            trace: world.trace.take(),
        }),
    }
}

fn phases(world: &mut World, shape: &mut Stream) {
    world.agenda.plan(START, Event::PlaneStart);
    for agent in 0..world.agents.len() {
        world.agenda.plan(START + shape.below(2_000), Event::NodeStart { agent });
    }
    world.clients_begin(shape.between((1, 6)) as usize);
    world.keeper_begins();
    world.faults_begin();
    world.run_until(START + shape.between((60_000, 300_000)));
    if world.broken.is_none() {
        world.heal();
    }
    if world.broken.is_none() && world.seed.is_multiple_of(4) {
        world.outlive(world.seed.is_multiple_of(16));
    }
}
