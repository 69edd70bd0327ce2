//! Whatever is no query to the cluster's DNS address goes where it went before.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::mpsc,
    thread,
    time::Duration,
};

use beeline_tests::{Cluster, Namespace, ask::Ask, child, node::GATEWAY};
use hickory_proto::rr::RecordType;

use super::{SERVICE, answering};

const PATIENCE: Option<Duration> = Some(Duration::from_secs(5));

#[test]
fn ping_reaches_pods_and_the_node() {
    let cluster = answering();
    for address in addresses(&cluster).into_iter().chain(GATEWAY.each()) {
        let mut ping = cluster.client().namespace.command("busybox");
        child::run(ping.args(["ping", "-c", "1", "-W", "2", &address.to_string()])).unwrap();
    }
}

#[test]
fn tcp_flows_between_pods_and_to_the_node() {
    let cluster = answering();
    let (client, pod) = (&cluster.client().namespace, &cluster.node().pod("mysql-0").unwrap().namespace);
    for address in addresses(&cluster) {
        echo_over_tcp(client, pod, SocketAddr::new(address, 3306));
    }
    for address in GATEWAY.each() {
        echo_over_tcp(client, cluster.node().namespace(), SocketAddr::new(address, 8080));
    }
}

#[test]
fn datagrams_to_other_ports_and_other_servers_arrive_unchanged() {
    let cluster = answering();
    let (client, pod) = (&cluster.client().namespace, &cluster.node().pod("mysql-0").unwrap().namespace);
    // A query that Beeline would answer, were it sent to the cluster's DNS address.
    let query = Ask::new(SERVICE, RecordType::A).unwrap().encode(7).unwrap();
    // More than the device carries: it goes in fragments.
    let long: Vec<u8> = (0..4000_u32).map(|index| index.to_le_bytes()[0]).collect();
    for address in addresses(&cluster) {
        for (port, datagram) in [(53, &query), (5353, &query), (53, &long), (9999, &long)] {
            let heard = hear_over_udp(client, pod, SocketAddr::new(address, port), datagram);
            assert!(
                heard == *datagram,
                "{} bytes to {address}:{port} came as {}",
                datagram.len(),
                heard.len()
            );
        }
    }
    for address in GATEWAY.each() {
        let server = SocketAddr::new(address, 5300);
        assert_eq!(hear_over_udp(client, cluster.node().namespace(), server, &query), query);
    }
}

/// Sends four megabytes there and back, compared byte by byte.
fn echo_over_tcp(from: &Namespace, to: &Namespace, server: SocketAddr) {
    const SIZE: usize = 4 << 20;
    let sent: Vec<u8> = (0..SIZE).map(|index| index.to_le_bytes()[index % 3]).collect();
    let (ready, listening) = mpsc::channel();
    let echo = move || {
        let listener = TcpListener::bind(server).unwrap();
        ready.send(()).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(PATIENCE).unwrap();
        let mut heard = vec![0; SIZE];
        stream.read_exact(&mut heard).unwrap();
        stream.write_all(&heard).unwrap();
    };
    thread::scope(|scope| {
        scope.spawn(|| to.enter(echo));
        listening.recv().unwrap();
        let heard = from.enter(|| {
            let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(5)).unwrap();
            stream.set_read_timeout(PATIENCE).unwrap();
            stream.write_all(&sent).unwrap();
            let mut heard = vec![0; SIZE];
            stream.read_exact(&mut heard).unwrap();
            heard
        });
        assert!(heard == sent, "what came back from {server} is not what went");
    });
}

/// What a server hears of one datagram.
fn hear_over_udp(from: &Namespace, to: &Namespace, server: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    let socket = to.enter(|| UdpSocket::bind(server).unwrap());
    socket.set_read_timeout(PATIENCE).unwrap();
    from.enter(|| {
        let any = if server.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
        UdpSocket::bind(any).unwrap().send_to(datagram, server).unwrap();
    });
    let mut buffer = vec![0; 65_535];
    let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{server} hears nothing: {error}"));
    buffer.truncate(length);
    buffer
}

fn addresses(cluster: &Cluster) -> Vec<IpAddr> {
    cluster.node().pod("mysql-0").unwrap().addresses.clone()
}
