//! The watch: rtnetlink's dump and events in, [`Observation`]s out.
//!
//! Two sockets: one hears events, one asks questions, so that a flood of events can never push an answer out. The events
//! are read no faster than the observations are taken: where the reader lags, the kernel's buffer fills, the kernel says
//! so (`ENOBUFS`), and a fresh dump takes the place of what was lost. So memory is bounded without losing the truth.
//!
//! What the kernel does not tell (seen on Linux 6.18), and has to be asked:
//! - A veth made from inside the pod's namespace (`ip link add … peer name X netns HOST`, the way of most CNI plugins) is
//!   announced before its peer exists, and nothing follows.
//! - A peer that moves to another namespace while both ends are down leaves a message about the peer, none about the end
//!   that stays. The same goes for its coming back.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::time::Duration;

use rtnetlink::packet_core::DecodeError;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tracing::{debug, warn};

use super::netlink::{self, Body, Message, Question};
use super::{Kind, Link, Observation};

/// Receive buffer of the event socket, in bytes: a few thousand link changes.
const RECEIVE_BUFFER: usize = 8 << 20;

/// How often everything is listed anew, unasked: heals what no event told, and tries a failed attach again.
const AUDIT_EVERY: Duration = Duration::from_secs(30);

/// More than any datagram of rtnetlink: the kernel builds dumps of at most 32 KiB, and one link's message is smaller.
const DATAGRAM: usize = 64 << 10;

/// How long after a question about a veth end that had no peer yet it is asked about again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(2);

/// How often it is asked about again; then it is left to the audit.
const ASK_AGAIN: u32 = 4;

/// Why the links cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No socket.
    #[error("cannot open an rtnetlink socket: {0}; allow netlink sockets in the container's seccomp profile")]
    Open(#[source] io::Error),
    /// No subscription.
    #[error(
        "cannot subscribe to link changes (RTNLGRP_LINK): {0}; run on the host's network (hostNetwork: true)"
    )]
    Subscribe(#[source] io::Error),
    /// Reading or writing a socket failed.
    #[error("the rtnetlink socket failed while {doing}: {source}; restart the agent")]
    Socket {
        /// What was being done.
        doing: &'static str,
        /// The failure.
        source: io::Error,
    },
    /// The kernel refused to list links.
    #[error("the kernel refused to list network links: {0}; run as root or add CAP_NET_ADMIN")]
    Refused(#[source] io::Error),
    /// The kernel's answer cannot be read.
    #[error(
        "the kernel's list of network links cannot be read ({0}); report this with the output of `uname -r`"
    )]
    Malformed(#[source] DecodeError),
}

/// Sends what is seen of this network namespace's links, beginning with a full dump, until the receiver is dropped.
pub async fn watch(observations: mpsc::Sender<Observation>) -> Result<(), LinkError> {
    Watch::open(RECEIVE_BUFFER)?.run(observations).await
}

/// A subscription to the links of the network namespace that the opening thread was in.
pub struct Watch {
    events: TokioSocket,
    asker: Asker,
    doubts: Doubts,
    buffer: Vec<u8>,
}

/// What the event socket gave.
enum Heard {
    Messages(Vec<Message>),
    /// Events were lost: only a fresh dump tells what is there.
    Lost,
}

impl Watch {
    /// Subscribes, so that every change from now on is either seen or known to be lost.
    ///
    /// `receive_buffer` is in bytes. Without `CAP_NET_ADMIN` the kernel grants at most `net.core.rmem_max`.
    pub fn open(receive_buffer: usize) -> Result<Self, LinkError> {
        let mut events = TokioSocket::new(NETLINK_ROUTE).map_err(LinkError::Open)?;
        let socket = events.socket_mut();
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&*socket, receive_buffer)
            .or_else(|_| rustix::net::sockopt::set_socket_recv_buffer_size(&*socket, receive_buffer))
            .map_err(|error| LinkError::Subscribe(error.into()))?;
        socket.bind_auto().map_err(LinkError::Subscribe)?;
        socket.add_membership(libc::RTNLGRP_LINK).map_err(LinkError::Subscribe)?;
        let doubts = Doubts::default();
        Ok(Self { events, asker: Asker::open()?, doubts, buffer: Vec::with_capacity(DATAGRAM) })
    }

    /// Sends observations, beginning with a full dump, until the receiver is dropped.
    pub async fn run(mut self, observations: mpsc::Sender<Observation>) -> Result<(), LinkError> {
        let mut audit = interval(AUDIT_EVERY);
        audit.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.doubts.next_due();
            let seen = tokio::select! {
                // The first tick comes at once: the first dump, taken after the subscription.
                _ = audit.tick() => vec![self.asker.dump().await?],
                heard = hear(&mut self.events, &mut self.buffer) => match heard? {
                    Heard::Messages(messages) => self.interpret(messages).await,
                    Heard::Lost => vec![self.resync().await?],
                },
                // One question a turn: events go on being read between them.
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    match self.doubts.take_due(Instant::now()) {
                        Some(doubt) => self.ask_about(doubt.index, doubt.again).await.into_iter().collect(),
                        None => Vec::new(),
                    }
                }
                () = observations.closed() => return Ok(()),
            };
            for observation in seen {
                if observations.send(observation).await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    /// A dump after lost events.
    ///
    /// Until its buffer was read empty the kernel drops every further event, and says so only once. A dump taken before
    /// that moment could miss a change for good; and what is still in the buffer is older than the dump.
    async fn resync(&mut self) -> Result<Observation, LinkError> {
        let mut discarded = 0_usize;
        loop {
            self.buffer.clear();
            match self.events.socket_ref().recv(&mut self.buffer, libc::MSG_DONTWAIT) {
                Ok(_) => discarded += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if is_overrun(&error) => {}
                Err(source) => return Err(LinkError::Socket { doing: "reading events", source }),
            }
        }
        warn!(discarded, "link events were lost, listing all links anew");
        self.asker.dump().await
    }

    async fn interpret(&mut self, messages: Vec<Message>) -> Vec<Observation> {
        let mut seen = Vec::new();
        let mut unsure = BTreeSet::new();
        for message in messages {
            match message.body {
                Body::Present(link) => {
                    unsure.extend(in_doubt(&link));
                    seen.push(Observation::Changed(link));
                }
                Body::Gone(link) => {
                    unsure.extend(in_doubt(&link).filter(|&index| index != link.index));
                    seen.push(Observation::Gone { index: link.index });
                }
                Body::Done | Body::Refused(_) | Body::Other => {}
            }
        }
        for index in unsure {
            seen.extend(self.ask_about(index, ASK_AGAIN).await);
        }
        seen
    }

    /// One link as it is now. Where that leaves it in doubt it is asked about `again` so many times, later. A failure is
    /// one link's, not the agent's: the audit tells of it, or fails where the socket is to blame.
    async fn ask_about(&mut self, index: u32, again: u32) -> Option<Observation> {
        match self.asker.link(index).await {
            Ok(observation) => {
                if matches!(&observation, Observation::Changed(link) if in_doubt(link) == Some(index)) {
                    self.doubts.raise(index, again, Instant::now());
                }
                Some(observation)
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                warn!(index, error, "a link could not be asked about, waiting for the next full listing");
                None
            }
        }
    }
}

/// The veth ends to ask about again, in the order of their times.
#[derive(Debug, Default)]
struct Doubts {
    queue: VecDeque<Doubt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Doubt {
    index: u32,
    /// How many questions are left after this one.
    again: u32,
    due: Instant,
}

impl Doubts {
    /// Has the link asked about `again` so many times, a pause from now. One that waits already waits on.
    fn raise(&mut self, index: u32, again: u32, now: Instant) {
        if let Some(left) = again.checked_sub(1)
            && self.queue.iter().all(|doubt| doubt.index != index)
        {
            // All wait equally long: the queue stays in order.
            self.queue.push_back(Doubt { index, again: left, due: now + ASK_AGAIN_AFTER });
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.queue.front().map(|doubt| doubt.due)
    }

    fn take_due(&mut self, now: Instant) -> Option<Doubt> {
        self.queue.pop_front_if(|doubt| doubt.due <= now)
    }
}

/// The link that a message leaves in doubt: the veth itself where no peer is named, otherwise a peer in this namespace.
fn in_doubt(link: &Link) -> Option<u32> {
    (link.kind == Kind::Veth && link.peer_netns.is_none()).then(|| link.peer_index.unwrap_or(link.index))
}

async fn hear(events: &mut TokioSocket, buffer: &mut Vec<u8>) -> Result<Heard, LinkError> {
    buffer.clear();
    match events.recv_from(buffer).await {
        Ok(_) => Ok(netlink::messages(buffer).map_or_else(
            |error| {
                warn!(%error, "a link event cannot be read");
                Heard::Lost
            },
            Heard::Messages,
        )),
        Err(error) if is_overrun(&error) => Ok(Heard::Lost),
        Err(source) => Err(LinkError::Socket { doing: "reading events", source }),
    }
}

fn is_overrun(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOBUFS)
}

/// Asks the kernel about links, one question at a time.
struct Asker {
    socket: TokioSocket,
    sequence: u32,
    buffer: Vec<u8>,
}

/// The kernel's answer to one question.
struct Listing {
    links: Vec<Link>,
    /// Links came or went meanwhile: the list may lack one.
    interrupted: bool,
}

impl Asker {
    fn open() -> Result<Self, LinkError> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE).map_err(LinkError::Open)?;
        socket.socket_mut().bind_auto().map_err(LinkError::Open)?;
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(DATAGRAM) })
    }

    /// All links, from a listing that nothing came between.
    async fn dump(&mut self) -> Result<Observation, LinkError> {
        let mut pause = Duration::from_millis(1);
        loop {
            let listing = self.ask(Question::All).await?.map_err(LinkError::Refused)?;
            if !listing.interrupted {
                return Ok(Observation::Dump(listing.links));
            }
            debug!(?pause, "links changed while they were listed, listing them again");
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// One link as it is now.
    async fn link(&mut self, index: u32) -> Result<Observation, LinkError> {
        told(index, self.ask(Question::One(index)).await?).map_err(LinkError::Refused)
    }

    /// Asks one question and reads its whole answer; the inner error is the kernel's refusal.
    async fn ask(&mut self, question: Question) -> Result<io::Result<Listing>, LinkError> {
        let failed = |source| LinkError::Socket { doing: "asking about links", source };
        self.sequence = self.sequence.wrapping_add(1);
        let request = question.bytes(self.sequence);
        self.socket.send_to(&request, &SocketAddr::new(0, 0)).await.map_err(failed)?;
        let mut listing = Listing { links: Vec::new(), interrupted: false };
        loop {
            self.buffer.clear();
            self.socket.recv_from(&mut self.buffer).await.map_err(failed)?;
            for message in netlink::messages(&self.buffer).map_err(LinkError::Malformed)? {
                if message.sequence != self.sequence {
                    // The rest of an answer whose question was given up.
                    continue;
                }
                listing.interrupted |= message.interrupted;
                match message.body {
                    Body::Present(link) => listing.links.push(link),
                    Body::Refused(errno) => return Ok(Err(io::Error::from_raw_os_error(errno))),
                    Body::Done => return Ok(Ok(listing)),
                    Body::Gone(_) | Body::Other => {}
                }
            }
            if question != Question::All && !listing.links.is_empty() {
                return Ok(Ok(listing));
            }
        }
    }
}

/// What the kernel's answer about one link says.
fn told(index: u32, answer: io::Result<Listing>) -> io::Result<Observation> {
    match answer.map(|listing| listing.links.into_iter().next()) {
        Ok(Some(link)) => Ok(Observation::Changed(link)),
        Ok(None) => Ok(Observation::Gone { index }),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(Observation::Gone { index }),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_enodev_says_that_a_link_is_gone() {
        let refused = |errno| told(7, Err(io::Error::from_raw_os_error(errno)));
        assert_eq!(refused(libc::ENODEV).unwrap(), Observation::Gone { index: 7 });
        for errno in [libc::EBUSY, libc::EPERM, libc::ENOBUFS, libc::EINVAL] {
            assert_eq!(refused(errno).unwrap_err().raw_os_error(), Some(errno));
        }
    }

    #[test]
    fn a_doubt_is_due_after_its_pause_and_taken_once() {
        let (mut doubts, start) = (Doubts::default(), Instant::now());
        assert_eq!(doubts.next_due(), None);
        doubts.raise(7, ASK_AGAIN, start);
        assert_eq!(doubts.next_due(), Some(start + ASK_AGAIN_AFTER));
        assert_eq!(doubts.take_due(start), None);
        assert_eq!(doubts.take_due(start + ASK_AGAIN_AFTER).map(|doubt| doubt.index), Some(7));
        assert_eq!(doubts.take_due(start + ASK_AGAIN_AFTER), None);
    }

    #[test]
    fn doubts_wait_side_by_side_and_not_one_after_the_other() {
        let (mut doubts, start) = (Doubts::default(), Instant::now());
        for index in 0..100 {
            doubts.raise(index, ASK_AGAIN, start);
        }
        let due = start + ASK_AGAIN_AFTER;
        assert!((0..100).all(|index| doubts.take_due(due).is_some_and(|doubt| doubt.index == index)));
    }

    #[test]
    fn a_link_in_doubt_twice_waits_once() {
        let (mut doubts, start) = (Doubts::default(), Instant::now());
        doubts.raise(7, ASK_AGAIN, start);
        doubts.raise(7, ASK_AGAIN, start + ASK_AGAIN_AFTER / 2);
        assert_eq!(doubts.queue.len(), 1);
        assert_eq!(doubts.next_due(), Some(start + ASK_AGAIN_AFTER));
    }

    #[test]
    fn a_veth_that_never_gets_a_peer_is_left_to_the_audit() {
        let (mut doubts, mut now) = (Doubts::default(), Instant::now());
        doubts.raise(7, ASK_AGAIN, now);
        let mut asked = 0;
        while let Some(due) = doubts.next_due() {
            now = due;
            let doubt = doubts.take_due(now).expect("its time has come");
            asked += 1;
            doubts.raise(doubt.index, doubt.again, now);
        }
        assert_eq!(asked, ASK_AGAIN);
    }
}
