//! Endpoints of a Service: read from its slices, or worked out from Pods as the endpointslice controller does
//! (kubernetes v1.36, staging/src/k8s.io/endpointslice: `ShouldPodBeInEndpoints`, `podToEndpoint`,
//! `getAddressTypesForService`, `FindPort`).

use std::net::IpAddr;

use super::{Pod, Protocol, Service, TargetPort};

/// An EndpointSlice of `discovery.k8s.io/v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSlice {
    /// `metadata.namespace`.
    pub namespace: Box<str>,
    /// `metadata.name`.
    pub name: Box<str>,
    /// Label `kubernetes.io/service-name`: whose slice this is. Without it, nobody's.
    pub service: Option<Box<str>>,
    /// What its endpoints are.
    pub address_type: AddressType,
    /// `endpoints`, one for each address; none where they are no IP addresses.
    pub endpoints: Box<[Endpoint]>,
    /// `ports`, of every endpoint of the slice.
    pub ports: Box<[EndpointPort]>,
}

/// `addressType` of an [`EndpointSlice`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressType {
    /// IPv4 or IPv6 addresses.
    Ip,
    /// Domain names. CoreDNS makes CNAME records of them and may chase these, so a Service with such a slice is
    /// passed on whole.
    Fqdn,
}

/// One address of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The address.
    pub address: IpAddr,
    /// `hostname`: the label of the endpoint's own name. Without it, the address with dashes is.
    pub hostname: Option<Box<str>>,
    /// `conditions.ready`; absent counts as ready.
    pub ready: bool,
}

/// A port of an [`EndpointSlice`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointPort {
    /// `name`; empty where there is none.
    pub name: Box<str>,
    /// `protocol`.
    pub protocol: Protocol,
    /// `port`; absent means every port, and is no record's.
    pub number: Option<u16>,
}

/// An endpoint that is answered with.
pub(super) struct Ready<'a> {
    pub(super) hostname: Option<&'a str>,
    pub(super) address: IpAddr,
}

/// The ready endpoints of a Service's slices. One that stands in several comes several times.
pub(super) fn ready_of_slices(slices: &[EndpointSlice]) -> impl Iterator<Item = Ready<'_>> {
    slices
        .iter()
        .flat_map(|slice| &slice.endpoints)
        .filter(|endpoint| endpoint.ready)
        .map(|endpoint| Ready { hostname: endpoint.hostname.as_deref(), address: endpoint.address })
}

/// The ready endpoints that a Pod gives to a Service whose selector it satisfies: one for each address of the
/// Service's families.
pub(super) fn ready_of_pod<'a>(service: &Service, pod: &'a Pod) -> impl Iterator<Item = Ready<'a>> {
    let ready = !pod.ended && (service.publish_not_ready_addresses || (pod.ready && !pod.terminating));
    // The hostname counts only under the Service that the pod names as its subdomain: a StatefulSet's own.
    let hostname = pod
        .hostname
        .as_deref()
        .filter(|hostname| !hostname.is_empty() && pod.subdomain.as_deref() == Some(&*service.name));
    let families = service.families;
    pod.addresses
        .iter()
        .copied()
        .filter(move |address| ready && if address.is_ipv4() { families.v4 } else { families.v6 })
        .map(move |address| Ready { hostname, address })
}

/// The ports that a Pod gives to a Service: numbers as they are, names looked up among the Pod's ports. A name
/// that the Pod does not know is left out.
pub fn ports_of_pod(service: &Service, pod: &Pod) -> Box<[EndpointPort]> {
    let number = |target: &TargetPort, protocol| match target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(name) => pod
            .ports
            .iter()
            .find(|port| port.name == *name && port.protocol == protocol)
            .map(|port| port.number),
    };
    service
        .ports
        .iter()
        .filter_map(|port| {
            let number = number(&port.target, port.protocol)?;
            Some(EndpointPort { name: port.name.clone(), protocol: port.protocol, number: Some(number) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{ContainerPort, Families, Labels, ServicePort};
    use super::*;

    #[test]
    fn named_target_port_is_the_containers_of_the_same_protocol() {
        let mut service = service();
        service.ports = Box::new([
            port("dns", Protocol::Udp, TargetPort::Name("dns".into())),
            port("dns-tcp", Protocol::Tcp, TargetPort::Name("dns".into())),
        ]);
        let mut pod = pod();
        pod.ports = Box::new([
            ContainerPort { name: "dns".into(), protocol: Protocol::Tcp, number: 5300 },
            ContainerPort { name: "dns".into(), protocol: Protocol::Udp, number: 5301 },
            ContainerPort { name: "dns".into(), protocol: Protocol::Udp, number: 5302 },
        ]);
        assert_eq!(
            numbers(&ports_of_pod(&service, &pod)),
            [("dns", Some(5301)), ("dns-tcp", Some(5300))],
            "the first of a name counts"
        );
    }

    #[test]
    fn named_target_port_that_the_pod_lacks_is_left_out() {
        let mut service = service();
        service.ports = Box::new([
            port("http", Protocol::Tcp, TargetPort::Name("http".into())),
            port("admin", Protocol::Tcp, TargetPort::Number(9000)),
        ]);
        assert_eq!(numbers(&ports_of_pod(&service, &pod())), [("admin", Some(9000))]);
    }

    #[test]
    fn pod_that_is_not_ready_gives_no_endpoint() {
        let unready = Pod { ready: false, ..pod() };
        assert_eq!(given(&service(), &unready), []);
    }

    #[test]
    fn terminating_pod_gives_no_endpoint() {
        let terminating = Pod { terminating: true, ..pod() };
        assert_eq!(given(&service(), &terminating), []);
    }

    #[test]
    fn ended_pod_gives_no_endpoint_whatever_the_service_says() {
        let ended = Pod { ended: true, ..pod() };
        assert_eq!(given(&service(), &ended), []);
        assert_eq!(given(&publishing(), &ended), []);
    }

    #[test]
    fn publish_not_ready_addresses_takes_unready_and_terminating_pods() {
        for pod in [Pod { ready: false, ..pod() }, Pod { terminating: true, ..pod() }] {
            assert_eq!(given(&publishing(), &pod).len(), 2);
        }
    }

    #[test]
    fn both_families_of_a_pod_are_endpoints() {
        assert_eq!(given(&service(), &pod()), [(None, "10.0.0.1"), (None, "fd00::1")].map(owned));
    }

    #[test]
    fn ip_families_of_a_service_restrict_its_endpoints() {
        let v4 = Service { families: Families { v4: true, v6: false }, ..service() };
        assert_eq!(given(&v4, &pod()), [(None, "10.0.0.1")].map(owned));
        let v6 = Service { families: Families { v4: false, v6: true }, ..service() };
        assert_eq!(given(&v6, &pod()), [(None, "fd00::1")].map(owned));
    }

    #[test]
    fn hostname_counts_only_with_the_services_name_as_subdomain() {
        let named = |hostname: Option<&str>, subdomain: Option<&str>| {
            let pod =
                Pod { hostname: hostname.map(Into::into), subdomain: subdomain.map(Into::into), ..pod() };
            given(&service(), &pod)[0].0.clone()
        };
        assert_eq!(named(Some("web-0"), Some("web")).as_deref(), Some("web-0"));
        assert_eq!(named(Some("web-0"), Some("other")), None);
        assert_eq!(named(Some("web-0"), None), None);
        assert_eq!(named(None, Some("web")), None);
        assert_eq!(named(Some(""), Some("web")), None);
    }

    fn given(service: &Service, pod: &Pod) -> Vec<(Option<String>, String)> {
        ready_of_pod(service, pod)
            .map(|ready| (ready.hostname.map(Into::into), ready.address.to_string()))
            .collect()
    }

    fn owned((hostname, address): (Option<&str>, &str)) -> (Option<String>, String) {
        (hostname.map(Into::into), address.into())
    }

    fn numbers(ports: &[EndpointPort]) -> Vec<(&str, Option<u16>)> {
        ports.iter().map(|port| (&*port.name, port.number)).collect()
    }

    fn port(name: &str, protocol: Protocol, target: TargetPort) -> ServicePort {
        ServicePort { name: name.into(), protocol, number: 80, target }
    }

    fn publishing() -> Service {
        Service { publish_not_ready_addresses: true, ..service() }
    }

    fn service() -> Service {
        Service {
            namespace: "default".into(),
            name: "web".into(),
            headless: true,
            selector: Labels::from_iter([("app", "web")]),
            publish_not_ready_addresses: false,
            families: Families::BOTH,
            ports: Box::new([]),
        }
    }

    fn pod() -> Pod {
        Pod {
            namespace: "default".into(),
            name: "web-0".into(),
            labels: Labels::from_iter([("app", "web")]),
            addresses: ["10.0.0.1", "fd00::1"].map(|address| address.parse().expect("an address")).into(),
            ready: true,
            terminating: false,
            ended: false,
            hostname: None,
            subdomain: None,
            ports: Box::new([]),
        }
    }
}
