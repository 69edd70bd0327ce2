//! The test bed: a node with one pod, and one program at the pod's device at a time.
//!
//! In: a program to hook. Out: a [`Hook`], whose end takes it away. A program that somebody left at the device answers
//! first and falsifies a measurement, so who is there is looked at each time.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use aya::{
    Ebpf,
    programs::{ProgramInfo, SchedClassifier, TcAttachType, tc::SchedClassifierLink},
};
use beeline_tests::{Namespace, Node, Pod, Run};

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 244, 0, 250));

/// See the module.
pub(crate) struct Bed {
    node: Node,
    pod: Pod,
}

impl Bed {
    pub(crate) fn create() -> Result<Self> {
        let mut node = Node::create(Run::new()?)?;
        let pod = node.add_pod("client", &[ADDRESS])?.clone();
        Ok(Self { node, pod })
    }

    pub(crate) const fn node(&self) -> &Node {
        &self.node
    }

    /// The pod in which the client runs.
    pub(crate) const fn pod(&self) -> &Pod {
        &self.pod
    }

    /// Hooks a program at the pod's device; it is then the only one there.
    pub(crate) fn hook(&self, program: &mut SchedClassifier) -> Result<Hook<'_>> {
        self.nobody_is_hooked()?;
        let device = &self.pod.host_device;
        let attached = self
            .node
            .namespace()
            .enter(|| program.attach(device, TcAttachType::Ingress).and_then(|id| program.take_link(id)));
        let link = attached
            .with_context(|| format!("{device} cannot be hooked; the benchmark needs Linux 6.6 or later"))?;
        Ok(Hook { _link: link, namespace: self.node.namespace(), device })
    }

    /// Makes sure that no program is at the pod's device.
    ///
    /// # Errors
    /// When there is one.
    pub(crate) fn nobody_is_hooked(&self) -> Result<()> {
        let device = &self.pod.host_device;
        let there = hooked(self.node.namespace(), device)?;
        let names: Vec<_> = there.iter().filter_map(ProgramInfo::name_as_str).collect();
        ensure!(
            there.is_empty(),
            "{device} has programs that were left there, {names:?}: they would answer first"
        );
        Ok(())
    }
}

/// A program at the pod's device, until this value goes.
pub(crate) struct Hook<'b> {
    _link: SchedClassifierLink,
    namespace: &'b Namespace,
    device: &'b str,
}

impl Hook<'_> {
    /// What the kernel says of the program.
    ///
    /// # Errors
    /// When it is not the only one at the device.
    pub(crate) fn program(&self) -> Result<ProgramInfo> {
        let mut there = hooked(self.namespace, self.device)?;
        ensure!(there.len() == 1, "{} has {} programs where one was hooked", self.device, there.len());
        there.pop().context("it was just counted")
    }
}

fn hooked(namespace: &Namespace, device: &str) -> Result<Vec<ProgramInfo>> {
    let there = namespace.enter(|| SchedClassifier::query_tcx(device, TcAttachType::Ingress));
    Ok(there.with_context(|| format!("the kernel does not tell which programs are at {device}"))?.1)
}

/// The program of that name in a loaded object.
pub(crate) fn program<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut SchedClassifier> {
    let program = ebpf.program_mut(name).with_context(|| format!("the object has no program {name}"))?;
    Ok(program.try_into()?)
}
