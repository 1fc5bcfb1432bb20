//! The way out, mostly over the queue in memory and under tokio's paused time.

mod batch;
mod breaker;
mod embedded;
mod faulty;
mod leased;
mod order;
mod put_off;
mod rig;
mod simulation;
mod single;
mod steering;
