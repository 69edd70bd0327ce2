//! A DNS client of a few lines that asks exactly what it is told to, and times it.
//!
//! In: an [`Ask`] and a server; the calling thread is in the pod's namespace ([`crate::Namespace::enter`]). Out: a
//! [`Reply`] as received and as a well-kept DNS library decodes it. Never here: a retry, a cache, a second server; what
//! a test sees is one query and its one reply.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use hickory_proto::{
    op::{Edns, Message, Query, ResponseCode},
    rr::{Name, RData, RecordType, rdata::opt::EdnsOption},
};

/// How long a reply may take.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// The EDNS option code of a COOKIE, RFC 7873.
const COOKIE: u16 = 10;

/// One query, to be sent as it stands.
#[derive(Clone, Debug)]
pub struct Ask {
    name: Name,
    kind: RecordType,
    recursion: bool,
    edns: Option<Edns>,
}

/// One reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The message as it came.
    pub bytes: Vec<u8>,
    /// The message as hickory decodes it.
    pub message: Message,
    /// From the moment of sending to that of receiving.
    pub took: Duration,
}

/// Round trips of one query in flight at a time, sorted.
#[derive(Clone, Debug)]
pub struct RoundTrips(Vec<Duration>);

impl Ask {
    /// A query for a full name, its letters as given, with RD set and without EDNS.
    ///
    /// # Errors
    /// When the text is no DNS name.
    pub fn new(name: &str, kind: RecordType) -> Result<Self> {
        let mut parsed = Name::from_ascii(name).with_context(|| format!("{name} is no DNS name"))?;
        parsed.set_fqdn(true);
        Ok(Self { name: parsed, kind, recursion: true, edns: None })
    }

    /// With an OPT record that advertises this many bytes.
    #[must_use]
    pub fn edns(mut self, size: u16) -> Self {
        self.edns.get_or_insert_default().set_max_payload(size);
        self
    }

    /// With a client's COOKIE of eight bytes, as dig sends one.
    #[must_use]
    pub fn cookie(mut self) -> Self {
        let cookie = EdnsOption::Unknown(COOKIE, b"\x01\x02\x03\x04\x05\x06\x07\x08".to_vec());
        self.edns.get_or_insert_default().options_mut().insert(cookie);
        self
    }

    /// With RD clear.
    #[must_use]
    pub fn without_recursion(mut self) -> Self {
        self.recursion = false;
        self
    }

    /// The message that goes out.
    ///
    /// # Errors
    /// When hickory cannot encode it.
    pub fn encode(&self, id: u16) -> Result<Vec<u8>> {
        let mut message = Message::query();
        message.metadata.id = id;
        message.metadata.recursion_desired = self.recursion;
        message.add_query(Query::query(self.name.clone(), self.kind));
        message.edns.clone_from(&self.edns);
        message.to_vec().with_context(|| format!("the query for {} cannot be encoded", self.name))
    }

    /// Asks over UDP.
    ///
    /// # Errors
    /// When no reply comes within [`PATIENCE`], or it is not DNS, or does not answer this query.
    pub fn udp(&self, server: IpAddr) -> Result<Reply> {
        let socket = connect(server)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let query = self.encode(rand::random())?;
        let mut buffer = vec![0; 65_535];
        let sent = Instant::now();
        socket.send(&query).with_context(|| format!("{server} cannot be sent to"))?;
        let length = socket
            .recv(&mut buffer)
            .with_context(|| format!("{server} does not answer {} {} over UDP", self.name, self.kind))?;
        let took = sent.elapsed();
        buffer.truncate(length);
        self.accept(&query, buffer, took)
    }

    /// Asks over TCP.
    ///
    /// # Errors
    /// As [`Ask::udp`].
    pub fn tcp(&self, server: IpAddr) -> Result<Reply> {
        let about = || format!("{server} does not answer {} {} over TCP", self.name, self.kind);
        let query = self.encode(rand::random())?;
        let mut framed = u16::try_from(query.len())?.to_be_bytes().to_vec();
        framed.extend_from_slice(&query);
        let sent = Instant::now();
        let mut stream =
            TcpStream::connect_timeout(&SocketAddr::new(server, 53), PATIENCE).with_context(about)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&framed).with_context(about)?;
        let mut length = [0; 2];
        stream.read_exact(&mut length).with_context(about)?;
        let mut buffer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut buffer).with_context(about)?;
        self.accept(&query, buffer, sent.elapsed())
    }

    /// Asks over UDP again and again, one query in flight, waiting in a busy loop: a sleeping reader would measure the
    /// scheduler's wake-up, which is many times longer than the answer.
    ///
    /// # Errors
    /// When a reply does not come within [`PATIENCE`].
    pub fn round_trips(&self, server: IpAddr, warm_up: usize, rounds: usize) -> Result<RoundTrips> {
        let socket = connect(server)?;
        socket.set_nonblocking(true)?;
        let mut query = self.encode(0)?;
        let mut buffer = [0; 4096];
        let mut times = Vec::with_capacity(rounds);
        for round in 0..warm_up + rounds {
            let id = u16::try_from(round % 0xffff)?.to_be_bytes();
            query[..2].copy_from_slice(&id);
            let sent = Instant::now();
            socket.send(&query).with_context(|| format!("{server} cannot be sent to"))?;
            let took = await_reply(&socket, &mut buffer, id, sent)
                .with_context(|| format!("{server} leaves {} {} unanswered", self.name, self.kind))?;
            if round >= warm_up {
                times.push(took);
            }
        }
        times.sort_unstable();
        Ok(RoundTrips(times))
    }

    fn accept(&self, query: &[u8], bytes: Vec<u8>, took: Duration) -> Result<Reply> {
        let message = Message::from_vec(&bytes)
            .with_context(|| format!("the reply for {} {} is not DNS: {bytes:02x?}", self.name, self.kind))?;
        ensure!(bytes[..2] == query[..2], "the reply for {} has another query's id", self.name);
        let asked = message.queries.first();
        ensure!(
            asked.is_some_and(|asked| asked.name.eq_case(&self.name) && asked.query_type == self.kind),
            "the reply echoes {asked:?} where {} {} was asked",
            self.name,
            self.kind
        );
        Ok(Reply { bytes, message, took })
    }
}

impl Reply {
    /// The addresses in the answer section, in the order of the reply.
    pub fn addresses_in_order(&self) -> Vec<IpAddr> {
        let address = |data: &RData| match data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        };
        self.message.answers.iter().filter_map(|record| address(&record.data)).collect()
    }

    /// The addresses in the answer section, sorted.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses = self.addresses_in_order();
        addresses.sort_unstable();
        addresses
    }

    /// The response code.
    pub fn code(&self) -> ResponseCode {
        self.message.metadata.response_code
    }
}

impl RoundTrips {
    /// The time that this share of the round trips does not exceed, such as 0.5 or 0.99.
    pub fn quantile(&self, share: f64) -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a count is a count; a count of round trips has far less than 53 bits"
        )]
        let at = (share.clamp(0.0, 1.0) * self.0.len() as f64) as usize;
        self.0.get(at.min(self.0.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// A socket whose replies can only come from that server.
fn connect(server: IpAddr) -> Result<UdpSocket> {
    let any = if server.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any).context("no UDP socket to be had")?;
    socket.connect((server, 53)).with_context(|| format!("there is no route to {server}"))?;
    Ok(socket)
}

fn await_reply(socket: &UdpSocket, buffer: &mut [u8], id: [u8; 2], sent: Instant) -> Result<Duration> {
    loop {
        match socket.recv(buffer) {
            Ok(length) if length > 2 && buffer[..2] == id => return Ok(sent.elapsed()),
            // A late reply of an earlier round.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if sent.elapsed() > PATIENCE {
                    bail!("no reply within {} s", PATIENCE.as_secs());
                }
            }
            Err(error) => return Err(error).context("the socket reports an error"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_letters_of_a_name_go_out_as_given() {
        let query = Ask::new("MySQL-0.my-Database.default.svc.cluster.local", RecordType::A).unwrap();
        let bytes = query.encode(7).unwrap();
        assert!(bytes.windows(8).any(|window| window == b"\x07MySQL-0"), "{bytes:02x?}");
        assert_eq!(bytes[..4], [0, 7, 1, 0]);
    }

    #[test]
    fn a_cookie_and_a_size_go_out_in_one_opt_record() {
        let bytes = Ask::new("a.test", RecordType::AAAA).unwrap().edns(1232).cookie().encode(7).unwrap();
        let opt = b"\0\0\x29\x04\xd0\0\0\0\0\0\x0c\0\x0a\0\x08\x01\x02\x03\x04\x05\x06\x07\x08";
        assert!(bytes.ends_with(opt), "{bytes:02x?}");
    }

    #[test]
    fn a_quantile_is_the_time_that_the_share_does_not_exceed() {
        let trips = RoundTrips((1..=100).map(Duration::from_micros).collect());
        assert_eq!(trips.quantile(0.5), Duration::from_micros(51));
        assert_eq!(trips.quantile(0.99), Duration::from_micros(100));
        assert_eq!(trips.quantile(1.0), Duration::from_micros(100));
        assert_eq!(RoundTrips(Vec::new()).quantile(0.5), Duration::ZERO);
    }
}
