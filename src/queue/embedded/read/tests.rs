//! What is read, against a plain model and with an index that is gone, behind or lies.

mod answers;
mod lists;
mod past;
mod single;
