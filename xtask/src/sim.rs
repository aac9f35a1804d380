//! `cargo xtask sim`: runs simulated worlds, one after the other, and stops at the first in which something is broken. With
//! `--bless` it writes the transcripts of the scenarios anew. The worlds themselves are in the crate `sim`.

use anyhow::{Context, bail};
use sim::{Options, Outcome, Planted};
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

/// The command line of `sim`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Run this seed only
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run these seeds, the last not included
    #[arg(long, value_name = "A..B", value_parser = seeds, default_value = "0..200")]
    seeds: Range<u64>,
    /// Print the whole trace
    #[arg(long)]
    trace: bool,
    /// Put a bug in on purpose: its name, or a wrong one to see all
    #[arg(long)]
    planted: Option<Planted>,
    /// Go on after a failure and count
    #[arg(long)]
    all: bool,
    /// Write the transcripts of the scenarios anew, and run no world
    #[arg(long)]
    bless: bool,
}

fn seeds(text: &str) -> anyhow::Result<Range<u64>> {
    let (first, end) = text.split_once("..").context("seeds are given as A..B")?;
    Ok(first.parse()?..end.parse()?)
}

/// Runs the chore.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.bless {
        return bless();
    }
    let seeds = arguments.seed.map_or(arguments.seeds.clone(), |seed| seed..seed + 1);
    let options = Options { keep_trace: arguments.trace, planted: arguments.planted };
    let begin = Instant::now();
    let (mut runs, mut events, mut failures) = (0u64, 0, Vec::new());
    for seed in seeds {
        runs += 1;
        match sim::run(seed, &options) {
            Ok(outcome) => {
                events += outcome.events;
                print(&outcome);
            }
            Err(failure) if arguments.all => {
                println!("seed {seed}: BROKEN: {}: {}", failure.invariant, failure.detail);
                failures.push(seed);
            }
            Err(failure) => bail!("{failure}"),
        }
    }
    println!("{runs} worlds, {events} events, {:.1} s, broken: {failures:?}", begin.elapsed().as_secs_f64());
    if failures.is_empty() { Ok(()) } else { bail!("{} of {runs} worlds are broken", failures.len()) }
}

fn print(outcome: &Outcome) {
    for line in &outcome.trace {
        println!("{line}");
    }
    println!(
        "seed {}: {} events, {} batches, {} answers, {} s of virtual time, trace {:016x}",
        outcome.seed,
        outcome.events,
        outcome.batches,
        outcome.answers,
        outcome.elapsed_ms / 1000,
        outcome.trace_hash
    );
}

fn bless() -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/sim/tests/scenarios");
    for entry in std::fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let script = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let transcript = sim::play(&script).with_context(|| format!("play {}", path.display()))?;
        let out = path.with_extension("out");
        std::fs::write(&out, transcript).with_context(|| format!("write {}", out.display()))?;
        println!("{}", out.display());
    }
    Ok(())
}
