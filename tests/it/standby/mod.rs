//! A second copy on another machine: the real programs, killed, cut off and promoted.

mod bucket;
mod full_disk;
mod objects;
mod printed;
mod process;
mod promoted;
mod refused;
