//! What both sides of the kernel boundary must agree on, and every decision that the kernel takes.
//!
//! In: the bytes of a frame, the settings, the pages of the answer table. Out: a [`verdict::Verdict`],
//! and for an answer the reply's bytes in the same buffer. The kernel program and the host's tests run
//! this very code, so the crate has no `unsafe`, no allocation, no clock and no I/O, and knows neither
//! maps nor sockets.
//!
//! A frame's way through the rooms: [`gate`] (is it for us at all?) → [`query`] (what is asked?) →
//! [`table`] (what is the answer?) → [`reply`] (the frame that says so). [`respond`] walks it.
//!
//! Bounds are written in a form that every supported verifier follows; `verifier` says why.
#![no_std]
#![forbid(unsafe_code)]

pub mod abi;
pub mod checksum;
pub mod frame;
pub mod gate;
pub mod name;
pub mod query;
pub mod reply;
pub mod respond;
pub mod table;
pub mod verdict;
pub mod verifier;

#[cfg(test)]
extern crate std;
