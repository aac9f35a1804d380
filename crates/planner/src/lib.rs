//! What is to be done: which instance and which address a task gets, or why none; what a service needs next. Pure: state
//! and time in, a plan out.
#![forbid(unsafe_code)]

pub mod capacity;
pub mod place;
pub mod service;

pub use place::{Ask, Place, Placer, place, places, verdicts, why};
