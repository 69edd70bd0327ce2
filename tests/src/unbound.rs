//! unbound in the node's namespace, behind a DNAT rule of its own: the fast server of the bench.
//!
//! In: the records of a zone. Out: a running server that answers at [`UNBOUND`].

use std::{fs, time::Duration};

use anyhow::Result;
use hickory_proto::{op::ResponseCode, rr::RecordType};

use crate::{
    Node,
    ask::Ask,
    child::Child,
    node::{GATEWAY, UNBOUND, UNBOUND_PORT},
    records::Records,
};

/// A million names take it some seconds to read.
const START: Duration = Duration::from_secs(60);

/// A running unbound.
#[derive(Debug)]
pub struct Unbound {
    _child: Child,
}

impl Unbound {
    /// Starts unbound for a zone and waits until it answers.
    ///
    /// # Errors
    /// When it cannot be started or does not answer; with the end of its log.
    pub fn start(node: &Node, records: &Records) -> Result<Self> {
        let file = node.run().folder().join("unbound.conf");
        fs::write(&file, configuration(records))?;
        let mut command = node.namespace().command("unbound");
        command.arg("-dd").arg("-c").arg(&file);
        let mut child = Child::start("unbound", &mut command, node.run().folder())?;
        let probe = Ask::new(records.zone(), RecordType::A)?;
        child.wait_until(START, |_| {
            let replies = || probe.udp(UNBOUND.v4.into());
            let code = node.namespace().enter(replies).map(|reply| reply.code());
            matches!(code, Ok(ResponseCode::NoError | ResponseCode::NXDomain))
        })?;
        Ok(Self { _child: child })
    }
}

/// One thread, as fast as it goes: no user to change to, no file to write, no validation.
fn configuration(records: &Records) -> String {
    let [v4, v6] = GATEWAY.each();
    format!(
        "server:\n\
         \x20 interface: {v4}@{UNBOUND_PORT}\n\
         \x20 interface: {v6}@{UNBOUND_PORT}\n\
         \x20 access-control: 0.0.0.0/0 allow\n\
         \x20 access-control: ::0/0 allow\n\
         \x20 num-threads: 1\n\
         \x20 module-config: \"iterator\"\n\
         \x20 username: \"\"\n\
         \x20 chroot: \"\"\n\
         \x20 pidfile: \"\"\n\
         \x20 use-syslog: no\n\
         \x20 rrset-roundrobin: yes\n\
         {}\
         remote-control:\n\
         \x20 control-enable: no\n",
        records.unbound()
    )
}
