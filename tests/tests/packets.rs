//! Tier 2: the packet tables, through the kernel's own run of the program.
//!
//! A row is a frame and what must become of it. A passed frame comes out byte by byte as it went in; an answer is taken
//! apart by libraries and judged by the zone; and both are what the same code gives on the host. Needs root and the
//! kernel, nothing else: `cargo xtask vm` carries this binary into other kernels.

#[path = "packets/answers.rs"]
mod answers;
#[path = "packets/bench.rs"]
mod bench;
#[path = "packets/carriers.rs"]
mod carriers;
#[path = "packets/edns.rs"]
mod edns;
#[path = "packets/headers.rs"]
mod headers;
#[path = "packets/lengths.rs"]
mod lengths;
#[path = "packets/order.rs"]
mod order;
#[path = "packets/questions.rs"]
mod questions;
#[path = "packets/reasons.rs"]
mod reasons;
#[path = "packets/walked.rs"]
mod walked;
