//! The whole program on real Linux: its API as stock AWS clients and hostile ones see it, the containers as the host sees
//! them, and what is left when it is killed. Needs root; `cargo xtask test --only "gantry it"` brings what it needs. Looks at
//! the program from outside only: nothing of its code runs in here but the signing of requests.
#![forbid(unsafe_code)]

mod api;
mod aws_cli;
mod bad_input;
mod boto;
mod chaos;
mod cli;
mod clients;
mod containers;
mod disks;
mod failures;
mod faults;
mod gpus;
mod host;
mod http;
mod isolation;
mod kills;
mod life;
mod logs;
mod network;
mod operations;
mod ports;
mod registry;
mod starts;
mod tasks;
mod terraform;
mod world;
