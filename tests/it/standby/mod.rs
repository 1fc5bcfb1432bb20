//! A second copy on another machine: the real programs, killed, cut off and promoted.

mod full_disk;
mod process;
mod promoted;
mod refused;
