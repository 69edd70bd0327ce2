//! The host's side of a test: the kernel's own code, run in this process over the kernel's own answer table.
//!
//! In: a frame, and the dataplane whose table and settings answer it. Out: the [`Verdict`] that the kernel must give too,
//! byte for byte. Only what the kernel's side does with maps and packets is written anew here.

use beeline::dataplane::Dataplane;
use beeline::table::Reader;
use beeline_common::frame::{BUFFER, MAX_FRAME};
use beeline_common::gate::{Packet, enter};
use beeline_common::query::Query;
use beeline_common::reply::Draft;
use beeline_common::respond::{Scratch, respond};
use beeline_common::verdict::{Pass, Reply};

use crate::kernel::Verdict;

/// One CPU's scratch memory, with a random sequence that stands at its start.
pub struct Host {
    scratch: Box<Scratch>,
}

impl Default for Host {
    fn default() -> Self {
        let (query, draft) = (Query::default(), Draft::default());
        Self {
            scratch: Box::new(Scratch { frame: [0; BUFFER], query, draft, family: 0, carried: 0, random: 0 }),
        }
    }
}

impl Host {
    /// The fate of one frame.
    pub fn run(&mut self, dataplane: &Dataplane, frame: &[u8]) -> Verdict {
        match self.answer(dataplane, frame) {
            Ok((reply, start)) => {
                let reply_frame = self.scratch.frame[start..][..reply.frame_len as usize].to_vec();
                Verdict::Answered(reply.answered, reply_frame)
            }
            Err(pass) => Verdict::Passed(pass),
        }
    }

    /// The reply, and where it starts in the scratch memory.
    fn answer(&mut self, dataplane: &Dataplane, frame: &[u8]) -> Result<(Reply, usize), Pass> {
        let settings = dataplane.settings();
        let family = enter(&Plain(frame), || Some(settings))?;
        if frame.len() > MAX_FRAME {
            return Err(Pass::LongQuery);
        }
        let start = family.start();
        self.scratch.frame[start..][..frame.len()].copy_from_slice(frame);
        let pages = Reader(dataplane.memory());
        let reply = respond(&mut self.scratch, family, frame.len() as u64, settings, &pages, |_| Ok(()))?;
        Ok((reply, start))
    }
}

/// A frame in memory, whose tags stand in its bytes.
struct Plain<'a>(&'a [u8]);

impl Packet for Plain<'_> {
    fn head<const N: usize>(&self) -> Option<&[u8; N]> {
        self.0.first_chunk()
    }

    fn has_vlan_tag(&self) -> bool {
        false
    }
}
